// CKM_ECDSA and CKM_ECDSA_SHA*: a signature is r and s, each as long as the curve's order.
#include <algorithm>

#include "crypto/ec.h"
#include "mechanism/mechanism.h"

namespace tlskeep {
namespace {

// PROTOCOL.md: the longest that the enclave signs.
constexpr std::size_t kLongestDigest = 64;
constexpr CK_FLAGS kSignature = CKF_SIGN | CKF_VERIFY;

constexpr Mechanism kMechanisms[] = {
    {CKM_ECDSA, CKK_EC, "ECDSA", std::nullopt, kSignature, 256, 384},
    {CKM_ECDSA_SHA1, CKK_EC, "ECDSA", HashAlgorithm::kSha1, kSignature, 256, 384},
    {CKM_ECDSA_SHA224, CKK_EC, "ECDSA", HashAlgorithm::kSha224, kSignature, 256, 384},
    {CKM_ECDSA_SHA256, CKK_EC, "ECDSA", HashAlgorithm::kSha256, kSignature, 256, 384},
    {CKM_ECDSA_SHA384, CKK_EC, "ECDSA", HashAlgorithm::kSha384, kSignature, 256, 384},
    {CKM_ECDSA_SHA512, CKK_EC, "ECDSA", HashAlgorithm::kSha512, kSignature, 256, 384},
};

class Ecdsa final : public Family {
 public:
  std::span<const Mechanism> mechanisms() const override { return kMechanisms; }
  Plan MakePlan(const PlanRequest& request) const override {
    RequireNoParameter(request.requested);
    // A digest is as long as one of the hashes that are admitted, or between them.
    std::size_t shortest = kLongestDigest;
    for (const HashAlgorithm hash : request.hashes) shortest = std::min(shortest, HashBytes(hash));
    return {&request.mechanism, shortest, kLongestDigest, {}};
  }
  Bytes SignData(const Plan&, const PublicKey&, ByteView input) const override { return ToBytes(input); }
  bool Verify(Libcrypto& libcrypto, const Plan&, const PublicKey& key, ByteView input,
              ByteView signature) const override {
    return VerifyEcdsa(libcrypto, key, input, signature);
  }
};

constinit const Ecdsa family;

}  // namespace

const Family& EcdsaFamily() { return family; }

}  // namespace tlskeep
