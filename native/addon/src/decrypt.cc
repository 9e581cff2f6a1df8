// RSA decryption on OpenSSL's EVP interface.
#include "decrypt.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include <algorithm>
#include <climits>
#include <new>

#include "addon_error.h"
#include "crypto_library.h"
#include "sign.h"

namespace tlskeep {
namespace {

[[noreturn]] void ThrowDecryptFailed(const char* what) {
  ERR_clear_error();  // the reasons stay here: a caller learns nothing about the key
  throw AddonError("decrypt-failed", what);
}

[[noreturn]] void ThrowEncryptedDataInvalid() {
  ERR_clear_error();
  throw AddonError("encrypted-data-invalid", "the encrypted data is not of this key and mechanism");
}

void SetLabel(EVP_PKEY_CTX* context, std::span<const std::uint8_t> label) {
  if (label.empty()) return;
  if (label.size() > INT_MAX) ThrowDecryptFailed("the label is too long");
  void* copy = OPENSSL_memdup(label.data(), label.size());
  if (copy == nullptr) throw std::bad_alloc();
  // The context owns the copy once it has accepted it.
  if (EVP_PKEY_CTX_set0_rsa_oaep_label(context, copy, static_cast<int>(label.size())) != 1) {
    OPENSSL_free(copy);
    ThrowDecryptFailed("the OAEP label is refused");
  }
}

void SetPadding(EVP_PKEY_CTX* context, const DecryptRequest& request) {
  if (request.mechanism == DecryptMechanism::kRsaPkcs) {
    if (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) != 1) {
      ThrowDecryptFailed("PKCS #1 padding is refused");
    }
    return;
  }
  const Digest hash = FetchDigest(request.hash);
  const Digest mgf_hash = FetchDigest(request.mgf_hash);
  if (hash == nullptr || mgf_hash == nullptr ||
      EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) != 1 ||
      EVP_PKEY_CTX_set_rsa_oaep_md(context, hash.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md(context, mgf_hash.get()) != 1) {
    ThrowDecryptFailed("the OAEP parameters are refused");
  }
  SetLabel(context, request.label);
}

// The same operation as a raw signature, and as dangerous if it goes wrong: let Sign() verify it.
void DecryptRaw(const PrivateKey& key, std::span<const std::uint8_t> data, Plaintext& plaintext) {
  try {
    Signature raw = Sign(key, {.mechanism = Mechanism::kRsaX509, .data = data});
    std::copy_n(raw.bytes.begin(), raw.size, plaintext.bytes.begin());
    plaintext.size = raw.size;
    OPENSSL_cleanse(raw.bytes.data(), raw.bytes.size());
  } catch (const AddonError&) {
    ThrowDecryptFailed("raw RSA decryption failed");
  }
}

}  // namespace

Plaintext::~Plaintext() { OPENSSL_cleanse(bytes.data(), bytes.size()); }

void CheckDecryptRequest(const PrivateKey& key, const DecryptRequest& request) {
  if (key.type() != KeyType::kRsa) {
    throw AddonError("mechanism-mismatch", "the mechanism is not one of this key's type");
  }
  if (request.data.size() != key.signature_bytes()) {
    throw AddonError("encrypted-data-len-range", "the encrypted data is not as long as the modulus");
  }
  if (!key.IsBelowModulus(request.data)) ThrowEncryptedDataInvalid();
}

void Decrypt(const PrivateKey& key, const DecryptRequest& request, Plaintext& plaintext) {
  if (request.mechanism == DecryptMechanism::kRsaX509) {
    DecryptRaw(key, request.data, plaintext);
    return;
  }
  const PkeyContext context(EVP_PKEY_CTX_new_from_pkey(CryptoLibrary(), key.pkey(), nullptr));
  if (context == nullptr || EVP_PKEY_decrypt_init(context.get()) != 1) {
    ThrowDecryptFailed("the decryption could not be set up");
  }
  SetPadding(context.get(), request);
  plaintext.size = plaintext.bytes.size();
  if (EVP_PKEY_decrypt(context.get(), plaintext.bytes.data(), &plaintext.size, request.data.data(),
                       request.data.size()) != 1) {
    ThrowEncryptedDataInvalid();
  }
}

}  // namespace tlskeep
