// Keys and certificates with the machine's own libcrypto.
#include "test_keys.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <utility>

namespace tlskeep::test {
namespace {

struct CertificateFree {
  void operator()(X509* certificate) const noexcept { X509_free(certificate); }
};
using Certificate = std::unique_ptr<X509, CertificateFree>;

constexpr std::pair<KeyKind, const char*> kKinds[] = {{KeyKind::kRsa2048, "rsa2048"},
                                                       {KeyKind::kRsa3072, "rsa3072"},
                                                       {KeyKind::kRsa4096, "rsa4096"},
                                                       {KeyKind::kP256, "p256"},
                                                       {KeyKind::kP384, "p384"},
                                                       {KeyKind::kEd25519, "ed25519"}};

void Require(bool fact) {
  if (!fact) throw std::runtime_error("libcrypto refused");
}

void Name(X509_NAME* name, const std::string& common_name) {
  Require(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                     reinterpret_cast<const unsigned char*>(common_name.data()),
                                     static_cast<int>(common_name.size()), -1, 0) == 1);
}

void Extend(X509* certificate, int nid, const std::string& value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, nid, value.c_str());
  Require(extension != nullptr);
  Require(X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

Bytes Issue(EVP_PKEY* key, const std::string& subject, EVP_PKEY* issuer_key, const std::string& issuer, bool ca) {
  static long serial = 1000;
  const Certificate certificate(X509_new());
  X509* x = certificate.get();
  X509_set_version(x, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(x), -3600);
  X509_gmtime_adj(X509_getm_notAfter(x), 86400L * 30);
  Name(X509_get_subject_name(x), subject);
  Name(X509_get_issuer_name(x), issuer);
  Require(X509_set_pubkey(x, key) == 1);
  Extend(x, NID_basic_constraints, ca ? "critical,CA:TRUE" : "critical,CA:FALSE");
  if (!ca) Extend(x, NID_subject_alt_name, "DNS:" + subject);
  Require(X509_sign(x, issuer_key, EVP_sha256()) > 0);
  unsigned char* der = nullptr;
  const int size = i2d_X509(x, &der);
  Require(size > 0);
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

// Primes take long to find, under an emulator very long.
EVP_PKEY* MakeRsaKey(unsigned bits) {
  const char* directory = std::getenv("TLSKEEP_TEST_KEYS");
  if (directory == nullptr) return EVP_RSA_gen(bits);
  const std::string path = std::string(directory) + "/rsa" + std::to_string(bits) + ".pem";
  BIO* file = BIO_new_file(path.c_str(), "r");
  Require(file != nullptr);
  EVP_PKEY* key = PEM_read_bio_PrivateKey(file, nullptr, nullptr, nullptr);
  BIO_free(file);
  return key;
}

const Key& AuthorityKey() {
  static const Key key = MakeKey(KeyKind::kP256);
  return key;
}

}  // namespace

Key MakeKey(KeyKind kind) {
  EVP_PKEY* key = nullptr;
  switch (kind) {
    case KeyKind::kRsa2048:
      key = MakeRsaKey(2048);
      break;
    case KeyKind::kRsa3072:
      key = MakeRsaKey(3072);
      break;
    case KeyKind::kRsa4096:
      key = MakeRsaKey(4096);
      break;
    case KeyKind::kP256:
      key = EVP_EC_gen("P-256");
      break;
    case KeyKind::kP384:
      key = EVP_EC_gen("P-384");
      break;
    case KeyKind::kEd25519:
      key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
      break;
  }
  Require(key != nullptr);
  return Key(key, KeyFree());
}

KeyKind KeyKindNamed(const std::string& name) {
  for (const auto& [kind, known] : kKinds) {
    if (known == name) return kind;
  }
  throw std::invalid_argument("a key is one of rsa2048, rsa3072, rsa4096, p256, p384, ed25519");
}

std::string KeyKindName(KeyKind kind) {
  for (const auto& [known, name] : kKinds) {
    if (known == kind) return name;
  }
  return "unknown";
}

Bytes PublicKeyInfo(const Key& key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key.get(), &der);
  Require(size > 0);
  Bytes bytes(der, der + size);
  OPENSSL_free(der);
  return bytes;
}

std::vector<Bytes> MakeChain(const Key& key, const std::string& host) {
  static constexpr char kAuthority[] = "tlskeep test authority";
  EVP_PKEY* authority = AuthorityKey().get();
  return {Issue(key.get(), host, authority, kAuthority, false),
          Issue(authority, kAuthority, authority, kAuthority, true)};
}

std::string ChainPem(const std::vector<Bytes>& chain) {
  BIO* out = BIO_new(BIO_s_mem());
  for (const Bytes& der : chain) {
    PEM_write_bio(out, "CERTIFICATE", "", der.data(), static_cast<long>(der.size()));
  }
  char* text = nullptr;
  const long size = BIO_get_mem_data(out, &text);
  std::string pem(text, static_cast<std::size_t>(size));
  BIO_free(out);
  return pem;
}

Bytes Sha(const char* name, ByteView data) {
  Bytes digest(EVP_MAX_MD_SIZE);
  std::size_t size = 0;
  Require(EVP_Q_digest(nullptr, name, nullptr, data.data(), data.size(), digest.data(), &size) == 1);
  digest.resize(size);
  return digest;
}

}  // namespace tlskeep::test
