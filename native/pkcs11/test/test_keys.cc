// Keys, certificates and signatures with the machine's own libcrypto.
#include "test_keys.h"

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstring>
#include <stdexcept>
#include <utility>

namespace tlskeep::test {
namespace {

struct ContextFree {
  void operator()(EVP_PKEY_CTX* context) const noexcept { EVP_PKEY_CTX_free(context); }
};
struct CertificateFree {
  void operator()(X509* certificate) const noexcept { X509_free(certificate); }
};
using Context = std::unique_ptr<EVP_PKEY_CTX, ContextFree>;
using Certificate = std::unique_ptr<X509, CertificateFree>;

constexpr std::pair<KeyKind, const char*> kKinds[] = {{KeyKind::kRsa2048, "rsa2048"},
                                                       {KeyKind::kRsa3072, "rsa3072"},
                                                       {KeyKind::kRsa4096, "rsa4096"},
                                                       {KeyKind::kP256, "p256"},
                                                       {KeyKind::kP384, "p384"}};

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

const Key& AuthorityKey() {
  static const Key key = MakeKey(KeyKind::kP256);
  return key;
}

std::size_t OrderBytes(const Key& key) { return static_cast<std::size_t>(EVP_PKEY_get_bits(key.get()) + 7) / 8; }

}  // namespace

Key MakeKey(KeyKind kind) {
  EVP_PKEY* key = nullptr;
  switch (kind) {
    case KeyKind::kRsa2048:
      key = EVP_RSA_gen(2048);
      break;
    case KeyKind::kRsa3072:
      key = EVP_RSA_gen(3072);
      break;
    case KeyKind::kRsa4096:
      key = EVP_RSA_gen(4096);
      break;
    case KeyKind::kP256:
      key = EVP_EC_gen("P-256");
      break;
    case KeyKind::kP384:
      key = EVP_EC_gen("P-384");
      break;
  }
  Require(key != nullptr);
  return Key(key, KeyFree());
}

KeyKind KeyKindNamed(const std::string& name) {
  for (const auto& [kind, known] : kKinds) {
    if (known == name) return kind;
  }
  throw std::invalid_argument("a key is one of rsa2048, rsa3072, rsa4096, p256, p384");
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

namespace {

Bytes RunSign(EVP_PKEY_CTX* context, ByteView data) {
  std::size_t size = 0;
  if (EVP_PKEY_sign(context, nullptr, &size, data.data(), data.size()) != 1) return {};
  Bytes signature(size);
  if (EVP_PKEY_sign(context, signature.data(), &size, data.data(), data.size()) != 1) return {};
  signature.resize(size);
  return signature;
}

Context SignContext(const Key& key) {
  Context context(EVP_PKEY_CTX_new(key.get(), nullptr));
  if (context == nullptr || EVP_PKEY_sign_init(context.get()) != 1) return nullptr;
  return context;
}

}  // namespace

Bytes SignRsaPkcs(const Key& key, ByteView digest_info) {
  const Context context = SignContext(key);
  if (context == nullptr || EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) != 1) return {};
  return RunSign(context.get(), digest_info);
}

Bytes SignRsaPss(const Key& key, const std::string& hash, int salt_bytes, ByteView digest) {
  const Context context = SignContext(key);
  const EVP_MD* md = EVP_get_digestbyname(hash.c_str());
  if (context == nullptr || md == nullptr ||
      EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PSS_PADDING) != 1 ||
      EVP_PKEY_CTX_set_signature_md(context.get(), md) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), md) != 1 ||
      EVP_PKEY_CTX_set_rsa_pss_saltlen(context.get(), salt_bytes) != 1) {
    return {};
  }
  return RunSign(context.get(), digest);
}

Bytes SignEcdsa(const Key& key, ByteView digest) {
  const Context context = SignContext(key);
  if (context == nullptr) return {};
  const Bytes der = RunSign(context.get(), digest);
  const unsigned char* position = der.data();
  ECDSA_SIG* signature = d2i_ECDSA_SIG(nullptr, &position, static_cast<long>(der.size()));
  if (signature == nullptr) return {};
  const std::size_t part = OrderBytes(key);
  Bytes raw(2 * part);
  BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw.data(), static_cast<int>(part));
  BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw.data() + part, static_cast<int>(part));
  ECDSA_SIG_free(signature);
  return raw;
}

namespace {

bool VerifyMessage(const Key& key, const char* hash, int padding, int salt_bytes, ByteView message,
                   ByteView signature) {
  EVP_MD_CTX* digest = EVP_MD_CTX_new();
  EVP_PKEY_CTX* context = nullptr;
  bool good = EVP_DigestVerifyInit_ex(digest, &context, hash, nullptr, nullptr, key.get(), nullptr) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(context, padding) == 1;
  if (good && padding == RSA_PKCS1_PSS_PADDING) {
    good = EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt_bytes) == 1;
  }
  good = good &&
         EVP_DigestVerify(digest, signature.data(), signature.size(), message.data(), message.size()) == 1;
  EVP_MD_CTX_free(digest);
  return good;
}

}  // namespace

bool VerifyRsaPkcs(const Key& key, const char* hash, ByteView message, ByteView signature) {
  return VerifyMessage(key, hash, RSA_PKCS1_PADDING, 0, message, signature);
}

bool VerifyRsaPss(const Key& key, const char* hash, int salt_bytes, ByteView message, ByteView signature) {
  return VerifyMessage(key, hash, RSA_PKCS1_PSS_PADDING, salt_bytes, message, signature);
}

bool VerifyEcdsa(const Key& key, ByteView digest, ByteView signature) {
  const std::size_t part = OrderBytes(key);
  if (signature.size() != 2 * part) return false;
  ECDSA_SIG* pair = ECDSA_SIG_new();
  ECDSA_SIG_set0(pair, BN_bin2bn(signature.data(), static_cast<int>(part), nullptr),
                 BN_bin2bn(signature.data() + part, static_cast<int>(part), nullptr));
  unsigned char* der = nullptr;
  const int size = i2d_ECDSA_SIG(pair, &der);
  ECDSA_SIG_free(pair);
  const Context context(EVP_PKEY_CTX_new(key.get(), nullptr));
  const bool good = EVP_PKEY_verify_init(context.get()) == 1 &&
                    EVP_PKEY_verify(context.get(), der, static_cast<std::size_t>(size), digest.data(),
                                    digest.size()) == 1;
  OPENSSL_free(der);
  return good;
}

}  // namespace tlskeep::test
