// CKM_ECDSA and CKM_ECDSA_SHA*: a signature is r and s, each as long as the curve's order.
#include "error.h"
#include "mechanism/mechanism.h"

namespace tlskeep {
namespace {

// PROTOCOL.md: what the enclave signs.
constexpr std::size_t kShortestDigest = 32;
constexpr std::size_t kLongestDigest = 64;

constexpr Mechanism kMechanisms[] = {
    {CKM_ECDSA, CKK_EC, "ECDSA", std::nullopt, 256, 384},
    {CKM_ECDSA_SHA256, CKK_EC, "ECDSA", HashAlgorithm::kSha256, 256, 384},
    {CKM_ECDSA_SHA384, CKK_EC, "ECDSA", HashAlgorithm::kSha384, 256, 384},
    {CKM_ECDSA_SHA512, CKK_EC, "ECDSA", HashAlgorithm::kSha512, 256, 384},
};

}  // namespace

std::span<const Mechanism> EcdsaMechanisms() { return kMechanisms; }

SignPlan PlanEcdsa(const Mechanism& mechanism, const CK_MECHANISM& request, const PublicKey& key) {
  RequireNoParameter(request);
  return {&mechanism, key.signature_bytes, std::nullopt};
}

Bytes EcdsaData(const SignPlan&, ByteView input) {
  if (input.size() < kShortestDigest || input.size() > kLongestDigest) {
    throw Pkcs11Error(CKR_DATA_LEN_RANGE, "a digest outside 32 to 64 bytes");
  }
  return ToBytes(input);
}

}  // namespace tlskeep
