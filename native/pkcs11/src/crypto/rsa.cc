// RSA verification and encryption through EVP_PKEY.
#include "crypto/rsa.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rsa.h>

#include <stdexcept>

#include "crypto/evp_key.h"

namespace tlskeep {

RsaPublicKey::RsaPublicKey(Libcrypto& libcrypto, const PublicKey& key)
    : call_(libcrypto), modulus_bytes_(key.modulus.size()) {
  const EvpKey parsed = ParseEvpKey(libcrypto, key.info);
  Require(parsed != nullptr);
  context_ = EVP_PKEY_CTX_new_from_pkey(libcrypto.context(), parsed.get(), nullptr);  // holds the key
  Require(context_ != nullptr);
}

RsaPublicKey::~RsaPublicKey() { EVP_PKEY_CTX_free(context_); }

void RsaPublicKey::Require(bool fact) const {
  if (!fact) throw std::runtime_error("libcrypto does not take an RSA key or its parameters");
}

bool RsaPublicKey::VerifyPkcs(ByteView digest_info, ByteView signature) {
  // Without a digest set, libcrypto compares what it finds under the padding with all of `digest_info`.
  Require(EVP_PKEY_verify_init(context_) == 1);
  Require(EVP_PKEY_CTX_set_rsa_padding(context_, RSA_PKCS1_PADDING) == 1);
  return EVP_PKEY_verify(context_, signature.data(), signature.size(), digest_info.data(), digest_info.size()) == 1;
}

bool RsaPublicKey::VerifyPss(const PssParameter& parameter, ByteView digest, ByteView signature) {
  Require(EVP_PKEY_verify_init(context_) == 1);
  Require(EVP_PKEY_CTX_set_rsa_padding(context_, RSA_PKCS1_PSS_PADDING) == 1);
  auto* hash = const_cast<char*>(parameter.hash);
  auto salt = static_cast<int>(parameter.salt_bytes);
  const OSSL_PARAM parameters[] = {OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, hash, 0),
                                   OSSL_PARAM_construct_utf8_string(OSSL_SIGNATURE_PARAM_MGF1_DIGEST, hash, 0),
                                   OSSL_PARAM_construct_int(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, &salt),
                                   OSSL_PARAM_construct_end()};
  Require(EVP_PKEY_CTX_set_params(context_, parameters) == 1);
  return EVP_PKEY_verify(context_, signature.data(), signature.size(), digest.data(), digest.size()) == 1;
}

bool RsaPublicKey::VerifyRaw(ByteView padded, ByteView signature) {
  Require(EVP_PKEY_verify_recover_init(context_) == 1);
  Require(EVP_PKEY_CTX_set_rsa_padding(context_, RSA_NO_PADDING) == 1);
  Bytes recovered(modulus_bytes_);
  std::size_t size = recovered.size();
  if (EVP_PKEY_verify_recover(context_, recovered.data(), &size, signature.data(), signature.size()) != 1) {
    return false;
  }
  recovered.resize(size);
  return std::equal(recovered.begin(), recovered.end(), padded.begin(), padded.end());
}

Bytes RsaPublicKey::Encrypt(ByteView data) {
  Bytes encrypted(modulus_bytes_);
  std::size_t size = encrypted.size();
  Require(EVP_PKEY_encrypt(context_, encrypted.data(), &size, data.data(), data.size()) == 1);
  encrypted.resize(size);
  return encrypted;
}

Bytes RsaPublicKey::EncryptPkcs(ByteView data) {
  Require(EVP_PKEY_encrypt_init(context_) == 1);
  Require(EVP_PKEY_CTX_set_rsa_padding(context_, RSA_PKCS1_PADDING) == 1);
  return Encrypt(data);
}

Bytes RsaPublicKey::EncryptOaep(const OaepParameter& parameter, ByteView data) {
  Require(EVP_PKEY_encrypt_init(context_) == 1);
  Require(EVP_PKEY_CTX_set_rsa_padding(context_, RSA_PKCS1_OAEP_PADDING) == 1);
  Bytes label = parameter.label;
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_OAEP_DIGEST, const_cast<char*>(parameter.hash), 0),
      OSSL_PARAM_construct_utf8_string(OSSL_ASYM_CIPHER_PARAM_MGF1_DIGEST, const_cast<char*>(parameter.mgf_hash), 0),
      label.empty() ? OSSL_PARAM_construct_end()
                    : OSSL_PARAM_construct_octet_string(OSSL_ASYM_CIPHER_PARAM_OAEP_LABEL, label.data(), label.size()),
      OSSL_PARAM_construct_end()};
  Require(EVP_PKEY_CTX_set_params(context_, parameters) == 1);
  return Encrypt(data);
}

Bytes RsaPublicKey::EncryptRaw(ByteView data) {
  Require(EVP_PKEY_encrypt_init(context_) == 1);
  Require(EVP_PKEY_CTX_set_rsa_padding(context_, RSA_NO_PADDING) == 1);
  return Encrypt(data);
}

}  // namespace tlskeep
