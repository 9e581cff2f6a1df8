// The attribute sets of each class, key by key: what is there, what is sensitive, and no more.
#include <map>
#include <set>

#include "module_fixture.h"

namespace tlskeep::test {
namespace {

using Types = std::set<CK_ATTRIBUTE_TYPE>;

// PKCS #11 v2.40 base §4.4 and §4.6 to §4.9, mechanisms §2.1 and §2.3; CKA_UNIQUE_ID is of v3.0.
const Types kStorage = {CKA_CLASS, CKA_TOKEN,    CKA_PRIVATE,     CKA_MODIFIABLE,
                        CKA_LABEL, CKA_COPYABLE, CKA_DESTROYABLE, CKA_UNIQUE_ID};
const Types kCertificate = {CKA_CERTIFICATE_TYPE, CKA_TRUSTED, CKA_CERTIFICATE_CATEGORY, CKA_CHECK_VALUE,
                            CKA_START_DATE, CKA_END_DATE, CKA_PUBLIC_KEY_INFO, CKA_SUBJECT, CKA_ID, CKA_ISSUER,
                            CKA_SERIAL_NUMBER, CKA_VALUE, CKA_URL, CKA_HASH_OF_SUBJECT_PUBLIC_KEY,
                            CKA_HASH_OF_ISSUER_PUBLIC_KEY, CKA_NAME_HASH_ALGORITHM, CKA_JAVA_MIDP_SECURITY_DOMAIN};
const Types kKey = {CKA_KEY_TYPE, CKA_ID, CKA_START_DATE, CKA_END_DATE, CKA_DERIVE, CKA_LOCAL, CKA_KEY_GEN_MECHANISM,
                    CKA_ALLOWED_MECHANISMS, CKA_SUBJECT, CKA_PUBLIC_KEY_INFO};
const Types kPublic = {CKA_ENCRYPT, CKA_VERIFY, CKA_VERIFY_RECOVER, CKA_WRAP, CKA_TRUSTED, CKA_WRAP_TEMPLATE};
const Types kPrivate = {CKA_SENSITIVE, CKA_DECRYPT, CKA_SIGN, CKA_SIGN_RECOVER, CKA_UNWRAP, CKA_EXTRACTABLE,
                        CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE, CKA_WRAP_WITH_TRUSTED, CKA_UNWRAP_TEMPLATE,
                        CKA_ALWAYS_AUTHENTICATE};
const Types kRsa = {CKA_MODULUS, CKA_PUBLIC_EXPONENT};
const Types kEc = {CKA_EC_PARAMS, CKA_EC_POINT};
const Types kSecret = {CKA_VALUE};
const Types kRsaSecret = {CKA_VALUE, CKA_PRIVATE_EXPONENT, CKA_PRIME_1, CKA_PRIME_2, CKA_EXPONENT_1, CKA_EXPONENT_2,
                          CKA_COEFFICIENT};

Types All(std::initializer_list<Types> parts) {
  Types all;
  for (const Types& part : parts) all.insert(part.begin(), part.end());
  return all;
}

class AttributeTest : public ModuleTest, public testing::WithParamInterface<KeyKind> {
 protected:
  // Asks for every attribute of the standard, one by one.
  void Expect(CK_OBJECT_HANDLE object, const Types& present, const Types& sensitive) {
    for (CK_ATTRIBUTE_TYPE low = 0; low < 0x700; ++low) {
      for (const CK_ATTRIBUTE_TYPE type : {low, low | CKF_ARRAY_ATTRIBUTE}) {
        CK_ATTRIBUTE attribute{type, nullptr, 0};
        const CK_RV expected = present.contains(type)     ? CKR_OK
                               : sensitive.contains(type) ? CKR_ATTRIBUTE_SENSITIVE
                                                          : CKR_ATTRIBUTE_TYPE_INVALID;
        EXPECT_EQ(module_->C_GetAttributeValue(session_, object, &attribute, 1), expected) << std::hex << type;
        EXPECT_EQ(attribute.ulValueLen == CK_UNAVAILABLE_INFORMATION, expected != CKR_OK) << std::hex << type;
      }
    }
  }
  CK_SESSION_HANDLE session_ = 0;
};

TEST_P(AttributeTest, AreThoseOfTheStandard) {
  StartEnclave(GetParam());
  Initialize();
  session_ = LogIn();
  const bool rsa = EVP_PKEY_is_a(key_.get(), "RSA") == 1;
  Types modulus_bits = kRsa;
  modulus_bits.insert(CKA_MODULUS_BITS);
  Expect(FindOne(session_, CKO_PRIVATE_KEY), All({kStorage, kKey, kPrivate, rsa ? kRsa : kEc}),
         rsa ? kRsaSecret : kSecret);
  Expect(FindOne(session_, CKO_PUBLIC_KEY), All({kStorage, kKey, kPublic, rsa ? modulus_bits : kEc}), {});
  for (const CK_OBJECT_HANDLE certificate : Find(session_, {ClassIs(CKO_CERTIFICATE)})) {
    Expect(certificate, All({kStorage, kCertificate}), {});
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, AttributeTest, testing::Values(KeyKind::kRsa2048, KeyKind::kP256, KeyKind::kEd25519),
                         [](const auto& tested) { return KeyKindName(tested.param); });

using AttributeValueTest = ModuleTest;

TEST_F(AttributeValueTest, AnEd25519KeyPair) {
  StartEnclave(KeyKind::kEd25519);
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  const Bytes info = PublicKeyInfo(key_);
  for (const CK_OBJECT_CLASS object_class : {CKO_PRIVATE_KEY, CKO_PUBLIC_KEY}) {
    const CK_OBJECT_HANDLE key = FindOne(session, object_class);
    CK_KEY_TYPE type = 0;
    CK_ATTRIBUTE attribute{CKA_KEY_TYPE, &type, sizeof type};
    ASSERT_EQ(module_->C_GetAttributeValue(session, key, &attribute, 1), CKR_OK);
    EXPECT_EQ(type, CKK_EC_EDWARDS);
    Bytes params = {0x13, 0x0c};  // PrintableString
    for (const char c : std::string("edwards25519")) params.push_back(static_cast<std::uint8_t>(c));
    EXPECT_EQ(Attribute(session, key, CKA_EC_PARAMS), params);
    Bytes point = {0x04, 0x20};  // OCTET STRING of the bytes that end the SubjectPublicKeyInfo
    point.insert(point.end(), info.end() - 32, info.end());
    EXPECT_EQ(Attribute(session, key, CKA_EC_POINT), point);
  }
}

TEST_F(AttributeValueTest, CertificatesTellTheirValidityAndObjectsTheirUniqueId) {
  StartEnclave();
  Initialize();
  const CK_SESSION_HANDLE session = LogIn();
  std::set<Bytes> ids;
  const auto objects = Find(session);
  for (const CK_OBJECT_HANDLE object : objects) ids.insert(Attribute(session, object, CKA_UNIQUE_ID));
  EXPECT_EQ(ids.size(), objects.size());
  for (const CK_OBJECT_HANDLE certificate : Find(session, {ClassIs(CKO_CERTIFICATE)})) {
    const Bytes start = Attribute(session, certificate, CKA_START_DATE);
    const Bytes end = Attribute(session, certificate, CKA_END_DATE);
    ASSERT_EQ(start.size(), sizeof(CK_DATE));
    ASSERT_EQ(end.size(), sizeof(CK_DATE));
    EXPECT_LT(start, end);
    EXPECT_EQ(AsText(start).substr(0, 2), "20");
  }
  EXPECT_EQ(Attribute(session, FindOne(session, CKO_PRIVATE_KEY), CKA_START_DATE), Bytes());
}

}  // namespace
}  // namespace tlskeep::test
