// Verifies by libcrypto, whose ECDSA signatures are DER.
#include "public_key.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <cstdio>

namespace tlskeep::bench {
namespace {

// DER of the signature that r and s make; empty if there is none.
Bytes EcdsaDer(ByteView raw) {
  const auto half = raw.size() / 2;
  ECDSA_SIG* signature = ECDSA_SIG_new();
  BIGNUM* r = BN_bin2bn(raw.data(), static_cast<int>(half), nullptr);
  BIGNUM* s = BN_bin2bn(raw.data() + half, static_cast<int>(half), nullptr);
  if (signature == nullptr || r == nullptr || s == nullptr || ECDSA_SIG_set0(signature, r, s) != 1) {
    throw BenchError("no memory for a signature");
  }
  const int size = i2d_ECDSA_SIG(signature, nullptr);
  Bytes der(size > 0 ? static_cast<std::size_t>(size) : 0);
  if (size > 0) {
    unsigned char* out = der.data();
    i2d_ECDSA_SIG(signature, &out);
  }
  ECDSA_SIG_free(signature);
  return der;
}

}  // namespace

PublicKey PublicKey::FromFile(const std::string& path) {
  std::FILE* file = std::fopen(path.c_str(), "re");
  if (file == nullptr) throw BenchError("cannot read " + path);
  EvpKey key(PEM_read_PUBKEY(file, nullptr, nullptr, nullptr));
  std::fclose(file);
  if (key == nullptr) throw BenchError(path + " is no public key in PEM");
  return PublicKey(std::move(key));
}

std::size_t PublicKey::signature_bytes() const {
  const auto field = static_cast<std::size_t>((bits() + 7) / 8);
  return kind() == KeyKind::kRsa ? field : 2 * field;
}

bool PublicKey::Verifies(ByteView digest, ByteView signature, Padding padding) const {
  const EvpContext context(EVP_PKEY_CTX_new(key_.get(), nullptr));
  if (context == nullptr || EVP_PKEY_verify_init(context.get()) != 1) throw BenchError("EVP_PKEY_verify_init");
  if (kind() == KeyKind::kRsa) {
    SetRsaPadding(context.get(), padding);
    return EVP_PKEY_verify(context.get(), signature.data(), signature.size(), digest.data(), digest.size()) == 1;
  }
  const Bytes der = EcdsaDer(signature);
  return EVP_PKEY_verify(context.get(), der.data(), der.size(), digest.data(), digest.size()) == 1;
}

void SetRsaPadding(EVP_PKEY_CTX* context, Padding padding) {
  const bool pss = padding == Padding::kPss;
  if (EVP_PKEY_CTX_set_rsa_padding(context, pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) != 1 ||
      EVP_PKEY_CTX_set_signature_md(context, EVP_sha256()) != 1 ||
      (pss && EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) != 1)) {
    throw BenchError("libcrypto refuses the padding");
  }
}

}  // namespace tlskeep::bench
