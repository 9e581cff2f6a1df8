// The attributes of each class (PKCS #11 v2.40 base §4.4, §4.6 to §4.9; mechanisms §2.1 and §2.3; v3.0 curves
// §2.3 for Edwards keys).
#include "object.h"

#include <algorithm>

namespace tlskeep {
namespace {

// The states of a token's keys, the current one's without a name.
constexpr const char* kKeyStates[] = {"", "next", "retiring"};
constexpr std::size_t kCheckValueBytes = 3;
// CKA_CERTIFICATE_CATEGORY, PKCS #11 v2.40 base §4.6.2
constexpr CK_ULONG kCategoryTokenUser = 1;
constexpr CK_ULONG kCategoryAuthority = 2;
constexpr CK_ULONG kCategoryOtherEntity = 3;
// CKA_JAVA_MIDP_SECURITY_DOMAIN, the same
constexpr CK_ULONG kDomainUnspecified = 0;

// The same object has the same one in every process: its class, and what it is of which token.
std::string UniqueId(const Object& object) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string id = object.object_class == CKO_PRIVATE_KEY ? "private-"
                   : object.object_class == CKO_PUBLIC_KEY ? "public-"
                                                           : "certificate-";
  for (const std::uint8_t byte : object.identity) {
    id.push_back(kDigits[byte >> 4]);
    id.push_back(kDigits[byte & 0xf]);
  }
  return id;
}

void SetMechanisms(AttributeSet& attributes, CK_ATTRIBUTE_TYPE type, std::span<const Offer> offers) {
  std::vector<CK_MECHANISM_TYPE> types;
  for (const Offer& offer : offers) types.push_back(offer.mechanism->type);
  attributes.SetBytes(type, {reinterpret_cast<const std::uint8_t*>(types.data()),
                             types.size() * sizeof(CK_MECHANISM_TYPE)});
}

Object Common(CK_OBJECT_CLASS object_class, const std::string& label, Bytes identity, bool private_object) {
  Object object{};
  object.object_class = object_class;
  object.private_object = private_object;
  object.label = label;
  object.identity = std::move(identity);
  AttributeSet& attributes = object.attributes;
  attributes.SetNumber(CKA_CLASS, object_class);
  attributes.SetBool(CKA_TOKEN, true);
  attributes.SetBool(CKA_PRIVATE, private_object);
  attributes.SetBool(CKA_MODIFIABLE, false);
  attributes.SetBool(CKA_COPYABLE, false);
  attributes.SetBool(CKA_DESTROYABLE, false);
  attributes.SetText(CKA_LABEL, label);
  attributes.SetText(CKA_UNIQUE_ID, UniqueId(object));
  attributes.SetBytes(CKA_START_DATE, {});
  attributes.SetBytes(CKA_END_DATE, {});
  return object;
}

Object CommonKey(CK_OBJECT_CLASS object_class, const std::string& label, const PublicKey& key,
                 const Certificate* leaf, bool private_object) {
  Object object = Common(object_class, label, ToBytes(key.fingerprint), private_object);
  AttributeSet& attributes = object.attributes;
  attributes.SetNumber(CKA_KEY_TYPE, key.type);
  attributes.SetBytes(CKA_ID, key.fingerprint);
  attributes.SetBool(CKA_DERIVE, false);
  // The key came to the token from outside.
  attributes.SetBool(CKA_LOCAL, false);
  attributes.SetNumber(CKA_KEY_GEN_MECHANISM, CK_UNAVAILABLE_INFORMATION);
  attributes.SetBytes(CKA_PUBLIC_KEY_INFO, key.info);
  attributes.SetBytes(CKA_SUBJECT, leaf != nullptr ? ByteView(leaf->subject) : ByteView());
  if (key.type == CKK_RSA) {
    attributes.SetBytes(CKA_MODULUS, key.modulus);
    attributes.SetBytes(CKA_PUBLIC_EXPONENT, key.public_exponent);
  } else {
    attributes.SetBytes(CKA_EC_PARAMS, key.ec_params);
    // The standard puts the point on the public key only; consumers ask the private key for it too.
    attributes.SetBytes(CKA_EC_POINT, key.ec_point);
  }
  return object;
}

}  // namespace

std::string KeyLabel(const std::string& token_label, const std::string& state) {
  return state.empty() ? token_label : token_label + " " + state;
}

bool Matches(const Object& object, std::span<const CK_ATTRIBUTE> wanted) {
  const bool by_id = object.object_class != CKO_CERTIFICATE &&
                     std::any_of(wanted.begin(), wanted.end(),
                                 [](const CK_ATTRIBUTE& attribute) { return attribute.type == CKA_ID; });
  const auto is_former_label = [&](const CK_ATTRIBUTE& attribute) {
    const ByteView value(static_cast<const std::uint8_t*>(attribute.pValue), attribute.ulValueLen);
    return std::any_of(std::begin(kKeyStates), std::end(kKeyStates), [&](const char* state) {
      const std::string label = KeyLabel(object.label, state);
      return std::equal(value.begin(), value.end(), AsBytes(label).begin(), AsBytes(label).end());
    });
  };
  return std::all_of(wanted.begin(), wanted.end(), [&](const CK_ATTRIBUTE& attribute) {
    if (by_id && attribute.type == CKA_LABEL && is_former_label(attribute)) return true;
    return object.attributes.Matches({&attribute, 1});
  });
}

Object MakePrivateKey(const std::string& label, const PublicKey& key, const Certificate* leaf,
                      std::span<const Offer> offers, std::vector<HashAlgorithm> hashes) {
  Object object = CommonKey(CKO_PRIVATE_KEY, label, key, leaf, true);
  object.offers = OffersWith(offers, CKF_SIGN | CKF_DECRYPT);
  object.hashes = std::move(hashes);
  AttributeSet& attributes = object.attributes;
  attributes.SetBool(CKA_SENSITIVE, true);
  attributes.SetBool(CKA_EXTRACTABLE, false);
  // Claims about the time before the key came to the token, which the token cannot vouch for.
  attributes.SetBool(CKA_ALWAYS_SENSITIVE, false);
  attributes.SetBool(CKA_NEVER_EXTRACTABLE, false);
  attributes.SetBool(CKA_SIGN, !OffersWith(object.offers, CKF_SIGN).empty());
  attributes.SetBool(CKA_SIGN_RECOVER, false);
  attributes.SetBool(CKA_DECRYPT, !OffersWith(object.offers, CKF_DECRYPT).empty());
  attributes.SetBool(CKA_UNWRAP, false);
  attributes.SetBool(CKA_WRAP_WITH_TRUSTED, false);
  attributes.SetBool(CKA_ALWAYS_AUTHENTICATE, false);
  attributes.SetBytes(CKA_UNWRAP_TEMPLATE, {});
  SetMechanisms(attributes, CKA_ALLOWED_MECHANISMS, object.offers);
  attributes.SetSensitive(CKA_VALUE);
  if (key.type == CKK_RSA) {
    for (const CK_ATTRIBUTE_TYPE type :
         {CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2, CKA_EXPONENT_1, CKA_EXPONENT_2, CKA_COEFFICIENT}) {
      attributes.SetSensitive(type);
    }
  }
  object.public_key = key;
  return object;
}

Object MakePublicKey(const std::string& label, const PublicKey& key, const Certificate* leaf,
                     std::span<const Offer> offers) {
  Object object = CommonKey(CKO_PUBLIC_KEY, label, key, leaf, false);
  object.offers = OffersWith(offers, CKF_VERIFY | CKF_ENCRYPT);
  AttributeSet& attributes = object.attributes;
  attributes.SetBool(CKA_VERIFY, true);
  attributes.SetBool(CKA_VERIFY_RECOVER, false);
  attributes.SetBool(CKA_ENCRYPT, !OffersWith(object.offers, CKF_ENCRYPT).empty());
  attributes.SetBool(CKA_WRAP, false);
  attributes.SetBool(CKA_TRUSTED, false);
  attributes.SetBytes(CKA_WRAP_TEMPLATE, {});
  SetMechanisms(attributes, CKA_ALLOWED_MECHANISMS, object.offers);
  if (key.type == CKK_RSA) attributes.SetNumber(CKA_MODULUS_BITS, key.bits);
  object.public_key = key;
  return object;
}

Object MakeCertificate(const Libcrypto& libcrypto, const std::string& label, const Certificate& certificate,
                       std::size_t position) {
  const bool leaf = position == 0;
  Object object =
      Common(CKO_CERTIFICATE, label, Digest(libcrypto, HashAlgorithm::kSha256, certificate.der), false);
  AttributeSet& attributes = object.attributes;
  attributes.SetNumber(CKA_CERTIFICATE_TYPE, CKC_X_509);
  attributes.SetBool(CKA_TRUSTED, false);
  attributes.SetNumber(CKA_CERTIFICATE_CATEGORY, leaf                    ? kCategoryTokenUser
                                                 : certificate.authority ? kCategoryAuthority
                                                                         : kCategoryOtherEntity);
  attributes.SetBytes(CKA_SUBJECT, certificate.subject);
  attributes.SetBytes(CKA_ISSUER, certificate.issuer);
  attributes.SetBytes(CKA_SERIAL_NUMBER, certificate.serial_number);
  attributes.SetBytes(CKA_VALUE, certificate.der);
  attributes.SetText(CKA_START_DATE, certificate.start_date);
  attributes.SetText(CKA_END_DATE, certificate.end_date);
  // The certificate itself is here: no URL stands for it.
  attributes.SetBytes(CKA_URL, {});
  attributes.SetBytes(CKA_HASH_OF_SUBJECT_PUBLIC_KEY, {});
  attributes.SetBytes(CKA_HASH_OF_ISSUER_PUBLIC_KEY, {});
  attributes.SetNumber(CKA_NAME_HASH_ALGORITHM, CKM_SHA_1);
  attributes.SetNumber(CKA_JAVA_MIDP_SECURITY_DOMAIN, kDomainUnspecified);
  attributes.SetBytes(CKA_PUBLIC_KEY_INFO, certificate.public_key_info);
  const Bytes check = Digest(libcrypto, HashAlgorithm::kSha1, certificate.der);
  attributes.SetBytes(CKA_CHECK_VALUE, ByteView(check).first(kCheckValueBytes));
  attributes.SetBytes(CKA_ID, Digest(libcrypto, HashAlgorithm::kSha256, certificate.public_key_info));
  if (!leaf) {
    // A search for the token's label finds the leaf alone.
    attributes.SetText(CKA_LABEL, label + " chain " + std::to_string(position));
  }
  return object;
}

}  // namespace tlskeep
