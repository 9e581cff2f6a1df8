// The three mechanisms, on OpenSSL's EVP interface.
#include "sign.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/rsa.h>

#include <memory>

#include "addon_error.h"
#include "crypto_library.h"

namespace tlskeep {
namespace {

// Hash values that ECDSA signs: SHA-256 to SHA-512.
constexpr std::size_t kMinEcdsaData = 32;
constexpr std::size_t kMaxEcdsaData = 64;
// SEQUENCE { INTEGER r, INTEGER s } for P-384.
constexpr std::size_t kMaxDerSignature = 104;

struct EcdsaSigDeleter {
  void operator()(ECDSA_SIG* signature) const { ECDSA_SIG_free(signature); }
};

[[noreturn]] void ThrowSignFailed(const char* what) {
  ERR_clear_error();  // the reasons stay here: a caller learns nothing about the key
  throw AddonError("sign-failed", what);
}

std::size_t HashBytes(Hash hash) {
  switch (hash) {
    case Hash::kSha256:
      return 32;
    case Hash::kSha384:
      return 48;
    case Hash::kSha512:
      return 64;
  }
  throw AddonError("invalid-argument", "unknown hash");
}

const char* HashName(Hash hash) {
  switch (hash) {
    case Hash::kSha256:
      return "SHA2-256";
    case Hash::kSha384:
      return "SHA2-384";
    case Hash::kSha512:
      return "SHA2-512";
  }
  throw AddonError("invalid-argument", "unknown hash");
}

void SetPadding(EVP_PKEY_CTX* context, const SignRequest& request) {
  if (request.mechanism == Mechanism::kRsaPkcs) {
    // No digest is set: the input is a DigestInfo already.
    if (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) != 1) {
      ThrowSignFailed("PKCS #1 padding refused");
    }
    return;
  }
  struct DigestDeleter {
    void operator()(EVP_MD* digest) const { EVP_MD_free(digest); }
  };
  const std::unique_ptr<EVP_MD, DigestDeleter> digest(
      EVP_MD_fetch(CryptoLibrary(), HashName(request.hash), nullptr));
  if (digest == nullptr ||  //
      EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) != 1 ||
      EVP_PKEY_CTX_set_signature_md(context, digest.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md(context, digest.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_pss_saltlen(context, static_cast<int>(request.salt_length)) != 1) {
    ThrowSignFailed("PSS parameters refused");
  }
}

Signature SignRsa(const PrivateKey& key, const SignRequest& request) {
  const PkeyContext signer(EVP_PKEY_CTX_new_from_pkey(CryptoLibrary(), key.pkey(), nullptr));
  if (signer == nullptr || EVP_PKEY_sign_init(signer.get()) != 1) {
    ThrowSignFailed("the signature could not be set up");
  }
  SetPadding(signer.get(), request);
  Signature signature;
  signature.size = signature.bytes.size();
  if (EVP_PKEY_sign(signer.get(), signature.bytes.data(), &signature.size, request.data.data(),
                    request.data_size) != 1 ||
      signature.size != key.signature_bytes()) {
    ThrowSignFailed("RSA signing failed");
  }
  // One wrong half of a CRT computation, released, gives the private key away.
  const PkeyContext verifier(EVP_PKEY_CTX_new_from_pkey(CryptoLibrary(), key.pkey(), nullptr));
  if (verifier == nullptr || EVP_PKEY_verify_init(verifier.get()) != 1) {
    ThrowSignFailed("the verification could not be set up");
  }
  SetPadding(verifier.get(), request);
  if (EVP_PKEY_verify(verifier.get(), signature.bytes.data(), signature.size, request.data.data(),
                      request.data_size) != 1) {
    OPENSSL_cleanse(signature.bytes.data(), signature.bytes.size());
    ThrowSignFailed("the RSA signature does not verify");
  }
  return signature;
}

Signature SignEcdsa(const PrivateKey& key, const SignRequest& request) {
  PkeyContext context = key.TakeEcdsa();
  unsigned char der[kMaxDerSignature];
  std::size_t der_size = sizeof der;
  if (EVP_PKEY_sign(context.get(), der, &der_size, request.data.data(), request.data_size) != 1) {
    ThrowSignFailed("ECDSA signing failed");
  }
  key.ReturnEcdsa(std::move(context));
  const unsigned char* cursor = der;
  const std::unique_ptr<ECDSA_SIG, EcdsaSigDeleter> parts(
      d2i_ECDSA_SIG(nullptr, &cursor, static_cast<long>(der_size)));
  if (parts == nullptr) ThrowSignFailed("ECDSA signing failed");
  Signature signature;
  signature.size = key.signature_bytes();
  const int half = static_cast<int>(signature.size / 2);
  if (BN_bn2binpad(ECDSA_SIG_get0_r(parts.get()), signature.bytes.data(), half) != half ||
      BN_bn2binpad(ECDSA_SIG_get0_s(parts.get()), signature.bytes.data() + half, half) != half) {
    ThrowSignFailed("ECDSA signing failed");
  }
  return signature;
}

}  // namespace

void CheckSignRequest(const PrivateKey& key, const SignRequest& request) {
  const KeyType wanted =
      request.mechanism == Mechanism::kEcdsa ? KeyType::kEc : KeyType::kRsa;
  if (key.type() != wanted) {
    throw AddonError("mechanism-mismatch", "the mechanism is not one of this key's type");
  }
  const auto require = [](bool holds, const char* code, const char* message) {
    if (!holds) throw AddonError(code, message);
  };
  switch (request.mechanism) {
    case Mechanism::kRsaPkcs:
      require(request.data_size >= 1 && request.data_size + 11 <= key.signature_bytes(),
              "data-len-range", "RSA_PKCS signs 1 byte to 11 bytes less than the modulus");
      break;
    case Mechanism::kRsaPkcsPss: {
      const std::size_t hash_bytes = HashBytes(request.hash);
      require(request.data_size == hash_bytes, "data-len-range",
              "RSA_PKCS_PSS signs one hash value of the hash named");
      // RFC 8017, 9.1.1: the encoded message has one bit less than the modulus.
      const std::size_t encoded_bytes = (static_cast<std::size_t>(key.bits()) - 1 + 7) / 8;
      require(request.salt_length + hash_bytes + 2 <= encoded_bytes, "salt-len-range",
              "the PSS salt does not fit the modulus");
      break;
    }
    case Mechanism::kEcdsa:
      require(request.data_size >= kMinEcdsaData && request.data_size <= kMaxEcdsaData,
              "data-len-range", "ECDSA signs hash values of 32 to 64 bytes");
      break;
  }
}

Signature Sign(const PrivateKey& key, const SignRequest& request) {
  return key.type() == KeyType::kRsa ? SignRsa(key, request) : SignEcdsa(key, request);
}

}  // namespace tlskeep
