// Keys by libcrypto, requests by the module's CBOR writer.
#include "test_key.h"

#include <openssl/evp.h>
#include <openssl/objects.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <map>
#include <stdexcept>

#include "wire/cbor.h"

namespace tlskeep::test {
namespace {

std::shared_ptr<const PrivateKey> Hold(EVP_PKEY* key) {
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out, &text);
  auto held = PrivateKey::FromPem(AsBytes({text, static_cast<std::size_t>(size)}));
  BIO_free(out);
  return held;
}

TestKey Make(KeyKind kind) {
  Key pair = MakeKey(kind);
  auto held = Hold(pair.get());
  const Bytes hash = Sha("SHA256", held->public_key());
  TestKey made{kind, std::move(pair), std::move(held), {}};
  std::copy_n(hash.begin(), made.fingerprint.size(), made.fingerprint.begin());
  return made;
}

bool IsRsa(KeyKind kind) {
  return kind == KeyKind::kRsa2048 || kind == KeyKind::kRsa3072 || kind == KeyKind::kRsa4096;
}

std::uint32_t UsualMechanisms(KeyKind kind) {
  if (IsRsa(kind)) return Bit(Mechanism::kRsaPkcs) | Bit(Mechanism::kRsaPkcsPss);
  return kind == KeyKind::kEd25519 ? Bit(Mechanism::kEddsa) : Bit(Mechanism::kEcdsa);
}

}  // namespace

const TestKey& KeyOf(KeyKind kind) {
  static std::map<KeyKind, TestKey> made;
  const auto found = made.find(kind);
  return found != made.end() ? found->second : made.emplace(kind, Make(kind)).first->second;
}

TestKey NewKey() { return Make(KeyKind::kP256); }

Bytes NoParameter() { return {0xf6}; }

Bytes PssParameter(std::string_view hash, std::uint64_t salt_length) {
  CborWriter writer;
  writer.Array(2);
  writer.Text(hash);
  writer.Unsigned(salt_length);
  return std::move(writer).Take();
}

Bytes SignPayload(std::uint64_t id, ByteView fingerprint, std::string_view mechanism, ByteView data,
                  ByteView parameter) {
  CborWriter writer;
  writer.Array(6);
  writer.Unsigned(id);
  writer.Text("sign");
  writer.ByteString(fingerprint);
  writer.Text(mechanism);
  writer.ByteString(data);
  Bytes payload = std::move(writer).Take();
  payload.insert(payload.end(), parameter.begin(), parameter.end());
  return payload;
}

Bytes EcdsaData(std::uint32_t id, std::size_t count) {
  Bytes data(count, 0x5a);
  for (std::size_t i = 0; i < 4; ++i) data[i] = static_cast<std::uint8_t>(id >> (8 * i));
  return data;
}

Bytes EcdsaPayload(std::uint32_t id, const TestKey& key, std::size_t count) {
  return SignPayload(id, key.fingerprint, "ECDSA", EcdsaData(id, count));
}

Bytes DigestInfo(const char* hash, ByteView value) {
  X509_SIG* info = X509_SIG_new();
  X509_ALGOR* algorithm = nullptr;
  ASN1_OCTET_STRING* digest = nullptr;
  X509_SIG_getm(info, &algorithm, &digest);
  X509_ALGOR_set0(algorithm, OBJ_nid2obj(OBJ_txt2nid(hash)), V_ASN1_NULL, nullptr);
  ASN1_OCTET_STRING_set(digest, value.data(), static_cast<int>(value.size()));
  unsigned char* der = nullptr;
  const int size = i2d_X509_SIG(info, &der);
  X509_SIG_free(info);
  if (size <= 0) throw std::runtime_error("libcrypto refused");
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

SigningRules TlsServerRules(KeyKind kind) {
  return {.mechanisms = UsualMechanisms(kind),
          .hashes = Bit(Hash::kSha256) | Bit(Hash::kSha384) | Bit(Hash::kSha512),
          .min_ecdsa_bytes = 32,
          .max_ecdsa_bytes = 64};
}

SigningRules GeneralRules(KeyKind kind) {
  SigningRules rules = TlsServerRules(kind);
  if (IsRsa(kind)) rules.mechanisms |= Bit(Mechanism::kRsaX509);
  rules.hashes |= Bit(Hash::kSha1) | Bit(Hash::kSha224);
  rules.min_ecdsa_bytes = 20;
  return rules;
}

KeyDirectory::Entry EntryFor(const TestKey& key) {
  return {.fingerprint = key.fingerprint, .rules = TlsServerRules(key.kind), .key = key.held};
}

}  // namespace tlskeep::test
