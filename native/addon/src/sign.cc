// The signature mechanisms, on OpenSSL's EVP interface but for ECDSA.
#include "sign.h"

#include <openssl/err.h>
#include <openssl/rsa.h>

#include <memory>

#include "addon_error.h"
#include "crypto_library.h"
#include "ecdsa.h"

namespace tlskeep {
namespace {

// Hash values that ECDSA signs: SHA-1 to SHA-512.
constexpr std::size_t kMinEcdsaData = 20;
constexpr std::size_t kMaxEcdsaData = 64;
// Block type 1 padding takes at least 11 bytes (RFC 8017, 9.2).
constexpr std::size_t kMinPkcs1Padding = 11;
// Longest message of EDDSA: what a frame of the signing protocol has room for.
constexpr std::size_t kMaxEddsaData = 60'000;

struct DigestContextDeleter {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using DigestContext = std::unique_ptr<EVP_MD_CTX, DigestContextDeleter>;

[[noreturn]] void ThrowSignFailed(const char* what) {
  ERR_clear_error();  // the reasons stay here: a caller learns nothing about the key
  throw AddonError("sign-failed", what);
}

void SetPadding(EVP_PKEY_CTX* context, const SignRequest& request) {
  if (request.mechanism != Mechanism::kRsaPkcsPss) {
    // No digest is set: the input is a DigestInfo already, or a whole block.
    const bool raw = request.mechanism == Mechanism::kRsaX509;
    if (EVP_PKEY_CTX_set_rsa_padding(context, raw ? RSA_NO_PADDING : RSA_PKCS1_PADDING) != 1) {
      ThrowSignFailed("the padding is refused");
    }
    return;
  }
  const Digest digest = FetchDigest(request.hash);
  if (digest == nullptr ||  //
      EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) != 1 ||
      EVP_PKEY_CTX_set_signature_md(context, digest.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md(context, digest.get()) != 1 ||
      EVP_PKEY_CTX_set_rsa_pss_saltlen(context, static_cast<int>(request.salt_length)) != 1) {
    ThrowSignFailed("PSS parameters refused");
  }
}

// A context of an RSA key, set up to sign such requests: one that has signed before, or a new one.
class SigningContext {
 public:
  SigningContext(const PrivateKey& key, const SignRequest& request)
      : key_(key), setup_(SetupOf(request)), context_(key.TakeContext(setup_)) {
    if (context_ != nullptr) return;
    context_.reset(EVP_PKEY_CTX_new_from_pkey(CryptoLibrary(), key.pkey(), nullptr));
    if (context_ == nullptr || EVP_PKEY_sign_init(context_.get()) != 1) {
      ThrowSignFailed("the signature could not be set up");
    }
    SetPadding(context_.get(), request);
  }

  EVP_PKEY_CTX* get() const { return context_.get(); }
  // For the next signature; one that has failed is not used again.
  void Return() { key_.ReturnContext(setup_, std::move(context_)); }

 private:
  static std::uint64_t SetupOf(const SignRequest& request) {
    const auto mechanism = static_cast<std::uint64_t>(request.mechanism);
    if (request.mechanism != Mechanism::kRsaPkcsPss) return mechanism;
    return mechanism | static_cast<std::uint64_t>(request.hash) << 8 |
           std::uint64_t{request.salt_length} << 32;
  }

  const PrivateKey& key_;
  const std::uint64_t setup_;
  PkeyContext context_;
};

// One wrong half of a CRT computation, released, would give the private key away. libcrypto raises its
// result to the public exponent and compares before it lets it out, and computes without CRT if they
// differ (rsa_ossl_mod_exp): doing the same again here would cost 7 % of an RSA-2048 signature.
Signature SignRsa(const PrivateKey& key, const SignRequest& request) {
  SigningContext context(key, request);
  Signature signature;
  signature.size = signature.bytes.size();
  if (EVP_PKEY_sign(context.get(), signature.bytes.data(), &signature.size, request.data.data(),
                    request.data.size()) != 1 ||
      signature.size != key.signature_bytes()) {
    ThrowSignFailed("RSA signing failed");
  }
  context.Return();
  return signature;
}

Signature SignEcdsa(const PrivateKey& key, const SignRequest& request) {
  Signature signature;
  signature.size = key.signature_bytes();
  if (!EcdsaSign(key.ec_private_key(), request.data, {signature.bytes.data(), signature.size})) {
    ThrowSignFailed("ECDSA signing failed");
  }
  return signature;
}

Signature SignEddsa(const PrivateKey& key, const SignRequest& request) {
  const DigestContext signer(EVP_MD_CTX_new());
  Signature signature;
  signature.size = key.signature_bytes();
  if (signer == nullptr ||
      EVP_DigestSignInit_ex(signer.get(), nullptr, nullptr, CryptoLibrary(), nullptr, key.pkey(),
                            nullptr) != 1 ||
      EVP_DigestSign(signer.get(), signature.bytes.data(), &signature.size, request.data.data(),
                     request.data.size()) != 1 ||
      signature.size != key.signature_bytes()) {
    ThrowSignFailed("EDDSA signing failed");
  }
  // The nonce depends on the message alone: a right and a wrong signature of one message give the
  // private key away.
  const DigestContext verifier(EVP_MD_CTX_new());
  if (verifier == nullptr ||
      EVP_DigestVerifyInit_ex(verifier.get(), nullptr, nullptr, CryptoLibrary(), nullptr,
                              key.pkey(), nullptr) != 1 ||
      EVP_DigestVerify(verifier.get(), signature.bytes.data(), signature.size, request.data.data(),
                       request.data.size()) != 1) {
    OPENSSL_cleanse(signature.bytes.data(), signature.bytes.size());
    ThrowSignFailed("the EDDSA signature does not verify");
  }
  return signature;
}

KeyType KeyTypeOf(Mechanism mechanism) {
  switch (mechanism) {
    case Mechanism::kEcdsa:
      return KeyType::kEc;
    case Mechanism::kEddsa:
      return KeyType::kEd25519;
    default:
      return KeyType::kRsa;
  }
}

}  // namespace

void CheckSignRequest(const PrivateKey& key, const SignRequest& request) {
  if (key.type() != KeyTypeOf(request.mechanism)) {
    throw AddonError("mechanism-mismatch", "the mechanism is not one of this key's type");
  }
  const auto require = [](bool holds, const char* code, const char* message) {
    if (!holds) throw AddonError(code, message);
  };
  switch (request.mechanism) {
    case Mechanism::kRsaPkcs:
      require(request.data.size() >= 1 && request.data.size() + kMinPkcs1Padding <= key.signature_bytes(),
              "data-len-range", "RSA_PKCS signs 1 byte to 11 bytes less than the modulus");
      break;
    case Mechanism::kRsaPkcsPss: {
      const std::size_t hash_bytes = HashBytes(request.hash);
      require(request.data.size() == hash_bytes, "data-len-range",
              "RSA_PKCS_PSS signs one hash value of the hash named");
      // RFC 8017, 9.1.1: the encoded message has one bit less than the modulus.
      const std::size_t encoded_bytes = (static_cast<std::size_t>(key.bits()) - 1 + 7) / 8;
      require(request.salt_length + hash_bytes + 2 <= encoded_bytes, "salt-len-range",
              "the PSS salt does not fit the modulus");
      break;
    }
    case Mechanism::kEcdsa:
      require(request.data.size() >= kMinEcdsaData && request.data.size() <= kMaxEcdsaData,
              "data-len-range", "ECDSA signs hash values of 20 to 64 bytes");
      break;
    case Mechanism::kEddsa:
      require(request.data.size() <= kMaxEddsaData, "data-len-range",
              "EDDSA signs messages of up to 60000 bytes");
      break;
    case Mechanism::kRsaX509:
      require(request.data.size() == key.signature_bytes(), "data-len-range",
              "RSA_X_509 signs a block as long as the modulus");
      require(key.IsBelowModulus(request.data), "data-invalid",
              "RSA_X_509 signs a value below the modulus");
      break;
  }
}

Signature Sign(const PrivateKey& key, const SignRequest& request) {
  switch (key.type()) {
    case KeyType::kRsa:
      return SignRsa(key, request);
    case KeyType::kEc:
      return SignEcdsa(key, request);
    case KeyType::kEd25519:
      return SignEddsa(key, request);
  }
  ThrowSignFailed("no such key type");
}

}  // namespace tlskeep
