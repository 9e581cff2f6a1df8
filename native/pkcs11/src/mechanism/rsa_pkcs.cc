// CKM_RSA_PKCS and CKM_SHA*_RSA_PKCS: RSASSA-PKCS1-v1_5 (RFC 8017 §8.2). The enclave pads and signs a
// DigestInfo; which ones, is its policy.
#include "error.h"
#include "mechanism/mechanism.h"

namespace tlskeep {
namespace {

// RFC 8017 §9.2, note 1: the DER of DigestInfo up to the digest.
constexpr std::uint8_t kSha256Prefix[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                          0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};
constexpr std::uint8_t kSha384Prefix[] = {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                          0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04, 0x30};
constexpr std::uint8_t kSha512Prefix[] = {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                          0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04, 0x40};
// RFC 8017 §9.2: at least this much padding goes before the DigestInfo.
constexpr std::size_t kPaddingBytes = 11;

constexpr Mechanism kMechanisms[] = {
    {CKM_RSA_PKCS, CKK_RSA, "RSA_PKCS", std::nullopt, 2048, 4096},
    {CKM_SHA256_RSA_PKCS, CKK_RSA, "RSA_PKCS", HashAlgorithm::kSha256, 2048, 4096},
    {CKM_SHA384_RSA_PKCS, CKK_RSA, "RSA_PKCS", HashAlgorithm::kSha384, 2048, 4096},
    {CKM_SHA512_RSA_PKCS, CKK_RSA, "RSA_PKCS", HashAlgorithm::kSha512, 2048, 4096},
};

ByteView DigestInfoPrefix(HashAlgorithm algorithm) {
  switch (algorithm) {
    case HashAlgorithm::kSha256:
      return kSha256Prefix;
    case HashAlgorithm::kSha384:
      return kSha384Prefix;
    case HashAlgorithm::kSha512:
      return kSha512Prefix;
    case HashAlgorithm::kSha1:
      break;
  }
  throw std::logic_error("no DigestInfo for this hash");
}

}  // namespace

std::span<const Mechanism> RsaPkcsMechanisms() { return kMechanisms; }

SignPlan PlanRsaPkcs(const Mechanism& mechanism, const CK_MECHANISM& request, const PublicKey& key) {
  RequireNoParameter(request);
  return {&mechanism, key.signature_bytes, std::nullopt};
}

Bytes RsaPkcsData(const SignPlan& plan, ByteView input) {
  Bytes data;
  if (plan.mechanism->hash) data = ToBytes(DigestInfoPrefix(*plan.mechanism->hash));
  data.insert(data.end(), input.begin(), input.end());
  if (data.size() > plan.signature_bytes - kPaddingBytes) {
    throw Pkcs11Error(CKR_DATA_LEN_RANGE, "more data than the modulus holds");
  }
  return data;
}

}  // namespace tlskeep
