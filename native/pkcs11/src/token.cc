// Builds a token's objects.
#include "token.h"

#include <algorithm>
#include <stdexcept>

namespace tlskeep {
namespace {

constexpr std::size_t kSerialBytes = 8;

std::string SerialNumber(const Libcrypto& libcrypto, const std::string& label) {
  static constexpr char kDigits[] = "0123456789abcdef";
  const Bytes digest = Digest(libcrypto, HashAlgorithm::kSha256, AsBytes(label));
  std::string serial;
  for (const std::uint8_t byte : ByteView(digest).first(kSerialBytes)) {
    serial.push_back(kDigits[byte >> 4]);
    serial.push_back(kDigits[byte & 0xf]);
  }
  return serial;
}

// What every service of version 1 admits: PROTOCOL.md.
const std::vector<std::string> kWithoutWord = {"SHA-256", "SHA-384", "SHA-512"};
KeyPolicy EveryPolicy() {
  return {{"RSA_PKCS", "RSA_PKCS_PSS", "ECDSA", "EDDSA"},
          {},
          {HashAlgorithm::kSha256, HashAlgorithm::kSha384, HashAlgorithm::kSha512}};
}

KeyPolicy PolicyOf(const ListedKey& listed) {
  KeyPolicy policy{listed.mechanisms, listed.decrypt_mechanisms, {}};
  const std::vector<std::string>& names = listed.hashes ? *listed.hashes : kWithoutWord;
  for (const HashAlgorithm hash : kAllHashes) {
    if (std::find(names.begin(), names.end(), HashName(hash)) != names.end()) policy.hashes.push_back(hash);
  }
  return policy;
}

// Searches for the token's label find its current key alone: others go by another CKA_LABEL.
Object Renamed(Object object, const std::string& name) {
  object.attributes.SetText(CKA_LABEL, name);
  return object;
}

// What a key of the token has comes first, and stands.
void AddOffer(std::vector<Offer>& offers, const Offer& offer) {
  const auto same = std::find_if(offers.begin(), offers.end(), [&](const Offer& known) {
    return known.mechanism == offer.mechanism;
  });
  if (same == offers.end()) offers.push_back(offer);
}

}  // namespace

Token MakeToken(Libcrypto& libcrypto, ListedToken listed) {
  const PublicKey key = ParsePublicKey(libcrypto, listed.public_key);
  std::vector<Certificate> chain;
  for (const Bytes& der : listed.certificates) chain.push_back(ParseCertificate(libcrypto, der));
  if (!chain.empty() && chain.front().public_key_info != key.info) {
    throw std::runtime_error("the certificate is for another key");
  }
  const Certificate* leaf = chain.empty() ? nullptr : &chain.front();

  Token token;
  token.serial_number = SerialNumber(libcrypto, listed.label);
  const auto add = [&token](Object object) {
    object.attributes.ShrinkToFit();
    token.objects.push_back(std::make_shared<const Object>(std::move(object)));
  };
  const auto add_pair = [&](const PublicKey& of, KeyPolicy policy, const Certificate* certificate,
                            const std::string& name) {
    const std::vector<Offer> offers = OffersFor(of.type, policy);
    add(Renamed(MakePrivateKey(listed.label, of, certificate, offers, std::move(policy.hashes)), name));
    add(Renamed(MakePublicKey(listed.label, of, certificate, offers), name));
    for (const Offer& offer : offers) AddOffer(token.offers, offer);
  };
  add_pair(key, PolicyOf(listed), leaf, listed.label);
  for (const FurtherKey& further : listed.further_keys) {
    add_pair(ParsePublicKey(libcrypto, further.public_key), PolicyOf(further), nullptr,
             KeyLabel(listed.label, further.state));
  }
  // A renewal may bring a key of another type, and consumers ask for mechanisms once, when they are loaded.
  for (const CK_KEY_TYPE type : {CKK_RSA, CKK_EC, CKK_EC_EDWARDS}) {
    for (const Offer& offer : OffersFor(type, EveryPolicy())) AddOffer(token.offers, offer);
  }
  for (const Offer& offer : OffersFor(kNoKey, {})) token.offers.push_back(offer);
  for (std::size_t position = 0; position < chain.size(); ++position) {
    add(MakeCertificate(libcrypto, listed.label, chain[position], position));
  }
  token.listed = std::move(listed);
  return token;
}

}  // namespace tlskeep
