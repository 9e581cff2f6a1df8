// CKM_RSA_PKCS and CKM_SHA*_RSA_PKCS: RSASSA-PKCS1-v1_5 and RSAES-PKCS1-v1_5 (RFC 8017 §8.2, §7.2). The
// enclave pads and signs a DigestInfo; which ones, is its policy.
#include "crypto/rsa.h"
#include "mechanism/mechanism.h"

namespace tlskeep {
namespace {

// RFC 8017 §9.2 and §7.2.1: at least this much padding goes before the data.
constexpr std::size_t kPaddingBytes = 11;
constexpr CK_FLAGS kSignature = CKF_SIGN | CKF_VERIFY;

constexpr Mechanism kMechanisms[] = {
    {CKM_RSA_PKCS, CKK_RSA, "RSA_PKCS", std::nullopt, kSignature | CKF_ENCRYPT | CKF_DECRYPT, 2048, 4096},
    {CKM_SHA1_RSA_PKCS, CKK_RSA, "RSA_PKCS", HashAlgorithm::kSha1, kSignature, 2048, 4096},
    {CKM_SHA224_RSA_PKCS, CKK_RSA, "RSA_PKCS", HashAlgorithm::kSha224, kSignature, 2048, 4096},
    {CKM_SHA256_RSA_PKCS, CKK_RSA, "RSA_PKCS", HashAlgorithm::kSha256, kSignature, 2048, 4096},
    {CKM_SHA384_RSA_PKCS, CKK_RSA, "RSA_PKCS", HashAlgorithm::kSha384, kSignature, 2048, 4096},
    {CKM_SHA512_RSA_PKCS, CKK_RSA, "RSA_PKCS", HashAlgorithm::kSha512, kSignature, 2048, 4096},
};

// The DER of DigestInfo up to the digest (RFC 8017 §9.2, note 1): SHA-1 is 1.3.14.3.2.26, SHA-2 is
// 2.16.840.1.101.3.4.2.x.
Bytes DigestInfo(HashAlgorithm algorithm, ByteView digest) {
  const auto digest_bytes = static_cast<std::uint8_t>(digest.size());
  Bytes info;
  if (algorithm == HashAlgorithm::kSha1) {
    info = {0x30, 0x21, 0x30, 0x09, 0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1a, 0x05, 0x00, 0x04, digest_bytes};
  } else {
    const auto arc = static_cast<std::uint8_t>(algorithm == HashAlgorithm::kSha256   ? 1
                                               : algorithm == HashAlgorithm::kSha384 ? 2
                                               : algorithm == HashAlgorithm::kSha512 ? 3
                                                                                     : 4);
    info = {0x30, static_cast<std::uint8_t>(17 + digest_bytes),
            0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, arc, 0x05, 0x00,
            0x04, digest_bytes};
  }
  info.insert(info.end(), digest.begin(), digest.end());
  return info;
}

class RsaPkcs final : public Family {
 public:
  std::span<const Mechanism> mechanisms() const override { return kMechanisms; }
  Plan MakePlan(const PlanRequest& request) const override {
    RequireNoParameter(request.requested);
    return {&request.mechanism, 0, request.key.modulus.size() - kPaddingBytes, {}};
  }
  Bytes SignData(const Plan& plan, const PublicKey&, ByteView input) const override {
    return plan.mechanism->hash ? DigestInfo(*plan.mechanism->hash, input) : ToBytes(input);
  }
  bool Verify(Libcrypto& libcrypto, const Plan& plan, const PublicKey& key, ByteView input,
              ByteView signature) const override {
    return RsaPublicKey(libcrypto, key).VerifyPkcs(SignData(plan, key, input), signature);
  }
  Bytes Encrypt(Libcrypto& libcrypto, const Plan&, const PublicKey& key, ByteView input) const override {
    return RsaPublicKey(libcrypto, key).EncryptPkcs(input);
  }
};

constinit const RsaPkcs family;

}  // namespace

const Family& RsaPkcsFamily() { return family; }

}  // namespace tlskeep
