// Private and public operations with the machine's own libcrypto.
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/rsa.h>

#include <stdexcept>

#include "test_keys.h"

namespace tlskeep::test {
namespace {

struct ContextFree {
  void operator()(EVP_PKEY_CTX* context) const noexcept { EVP_PKEY_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_PKEY_CTX, ContextFree>;

std::size_t OrderBytes(const Key& key) { return static_cast<std::size_t>(EVP_PKEY_get_bits(key.get()) + 7) / 8; }

}  // namespace

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

Bytes SignRsaRaw(const Key& key, ByteView data) {
  const Context context = SignContext(key);
  if (context == nullptr || EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_NO_PADDING) != 1) return {};
  return RunSign(context.get(), data);
}

Bytes SignEddsa(const Key& key, ByteView message) {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  Bytes signature(64);
  std::size_t size = signature.size();
  const bool done = EVP_DigestSignInit_ex(context, nullptr, nullptr, nullptr, nullptr, key.get(), nullptr) == 1 &&
                    EVP_DigestSign(context, signature.data(), &size, message.data(), message.size()) == 1;
  EVP_MD_CTX_free(context);
  signature.resize(done ? size : 0);
  return signature;
}

namespace {

bool SetPadding(EVP_PKEY_CTX* context, const RsaPadding& padding) {
  if (padding.mechanism == "RSA_PKCS") return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
  if (padding.mechanism == "RSA_X_509") return EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING) == 1;
  if (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md_name(context, padding.hash.c_str(), nullptr) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md_name(context, padding.mgf_hash.c_str(), nullptr) != 1) {
    return false;
  }
  if (padding.label.empty()) return true;
  void* label = OPENSSL_memdup(padding.label.data(), padding.label.size());  // which the context takes over
  return EVP_PKEY_CTX_set0_rsa_oaep_label(context, label, static_cast<int>(padding.label.size())) == 1;
}

}  // namespace

std::optional<Bytes> DecryptRsa(const Key& key, const RsaPadding& padding, ByteView encrypted) {
  const Context context(EVP_PKEY_CTX_new(key.get(), nullptr));
  if (EVP_PKEY_decrypt_init(context.get()) != 1 || !SetPadding(context.get(), padding)) return std::nullopt;
  Bytes plain(static_cast<std::size_t>(EVP_PKEY_get_size(key.get())));
  std::size_t size = plain.size();
  if (EVP_PKEY_decrypt(context.get(), plain.data(), &size, encrypted.data(), encrypted.size()) != 1) {
    return std::nullopt;
  }
  plain.resize(size);
  return plain;
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

bool VerifyEddsa(const Key& key, ByteView message, ByteView signature) {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  const bool good =
      EVP_DigestVerifyInit_ex(context, nullptr, nullptr, nullptr, nullptr, key.get(), nullptr) == 1 &&
      EVP_DigestVerify(context, signature.data(), signature.size(), message.data(), message.size()) == 1;
  EVP_MD_CTX_free(context);
  return good;
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
