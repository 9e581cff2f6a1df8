// ECDSA and EdDSA verification through EVP_PKEY.
#include "crypto/ec.h"

#include <openssl/ec.h>

#include <stdexcept>

#include "crypto/evp_key.h"

namespace tlskeep {
namespace {

struct SignatureFree {
  void operator()(ECDSA_SIG* signature) const noexcept { ECDSA_SIG_free(signature); }
};
struct ContextFree {
  void operator()(EVP_PKEY_CTX* context) const noexcept { EVP_PKEY_CTX_free(context); }
};
struct DigestContextFree {
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

// The DER that libcrypto wants: SEQUENCE { r, s } (RFC 3279 §2.2.3).
Bytes DerSignature(ByteView signature) {
  const std::size_t half = signature.size() / 2;
  const std::unique_ptr<ECDSA_SIG, SignatureFree> pair(ECDSA_SIG_new());
  BIGNUM* r = BN_bin2bn(signature.data(), static_cast<int>(half), nullptr);
  BIGNUM* s = BN_bin2bn(signature.data() + half, static_cast<int>(half), nullptr);
  if (pair == nullptr || ECDSA_SIG_set0(pair.get(), r, s) != 1) {
    BN_free(r);
    BN_free(s);
    throw std::bad_alloc();
  }
  const int size = i2d_ECDSA_SIG(pair.get(), nullptr);
  if (size <= 0) throw std::runtime_error("libcrypto does not encode an ECDSA signature");
  Bytes der(static_cast<std::size_t>(size));
  unsigned char* position = der.data();
  i2d_ECDSA_SIG(pair.get(), &position);
  return der;
}

EvpKey Parse(const Libcrypto& libcrypto, const PublicKey& key) {
  EvpKey parsed = ParseEvpKey(libcrypto, key.info);
  if (parsed == nullptr) throw std::runtime_error("libcrypto does not take an elliptic curve key");
  return parsed;
}

}  // namespace

bool VerifyEcdsa(Libcrypto& libcrypto, const PublicKey& key, ByteView digest, ByteView signature) {
  const LibcryptoCall call(libcrypto);
  const EvpKey parsed = Parse(libcrypto, key);
  const Bytes der = DerSignature(signature);
  const std::unique_ptr<EVP_PKEY_CTX, ContextFree> context(
      EVP_PKEY_CTX_new_from_pkey(libcrypto.context(), parsed.get(), nullptr));
  if (context == nullptr || EVP_PKEY_verify_init(context.get()) != 1) {
    throw std::runtime_error("libcrypto does not verify with an elliptic curve key");
  }
  return EVP_PKEY_verify(context.get(), der.data(), der.size(), digest.data(), digest.size()) == 1;
}

bool VerifyEddsa(Libcrypto& libcrypto, const PublicKey& key, ByteView message, ByteView signature) {
  const LibcryptoCall call(libcrypto);
  const EvpKey parsed = Parse(libcrypto, key);
  const std::unique_ptr<EVP_MD_CTX, DigestContextFree> context(EVP_MD_CTX_new());
  if (context == nullptr || EVP_DigestVerifyInit_ex(context.get(), nullptr, nullptr, libcrypto.context(), nullptr,
                                                    parsed.get(), nullptr) != 1) {
    throw std::runtime_error("libcrypto does not verify with an Ed25519 key");
  }
  return EVP_DigestVerify(context.get(), signature.data(), signature.size(), message.data(), message.size()) == 1;
}

}  // namespace tlskeep
