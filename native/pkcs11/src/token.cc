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

KeyPolicy PolicyOf(const ListedToken& listed) {
  // What every service of version 1 admits: PROTOCOL.md.
  static const std::vector<std::string> kWithoutWord = {"SHA-256", "SHA-384", "SHA-512"};
  KeyPolicy policy{listed.mechanisms, listed.decrypt_mechanisms, {}};
  const std::vector<std::string>& names = listed.hashes ? *listed.hashes : kWithoutWord;
  for (const HashAlgorithm hash : kAllHashes) {
    if (std::find(names.begin(), names.end(), HashName(hash)) != names.end()) policy.hashes.push_back(hash);
  }
  return policy;
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
  KeyPolicy policy = PolicyOf(listed);
  token.offers = OffersFor(key.type, policy);
  const auto add = [&token](Object object) {
    token.objects.push_back(std::make_shared<const Object>(std::move(object)));
  };
  add(MakePrivateKey(listed.label, key, leaf, token.offers, std::move(policy.hashes)));
  add(MakePublicKey(listed.label, key, leaf, token.offers));
  for (const Offer& offer : OffersFor(kNoKey, {})) token.offers.push_back(offer);
  for (std::size_t position = 0; position < chain.size(); ++position) {
    add(MakeCertificate(libcrypto, listed.label, chain[position], position));
  }
  token.listed = std::move(listed);
  return token;
}

}  // namespace tlskeep
