// CKM_SHA_1 to CKM_SHA512: digests, computed here.
#include "mechanism/mechanism.h"

namespace tlskeep {
namespace {

constexpr Mechanism kMechanisms[] = {
    {CKM_SHA_1, kNoKey, nullptr, HashAlgorithm::kSha1, CKF_DIGEST, 0, 0},
    {CKM_SHA224, kNoKey, nullptr, HashAlgorithm::kSha224, CKF_DIGEST, 0, 0},
    {CKM_SHA256, kNoKey, nullptr, HashAlgorithm::kSha256, CKF_DIGEST, 0, 0},
    {CKM_SHA384, kNoKey, nullptr, HashAlgorithm::kSha384, CKF_DIGEST, 0, 0},
    {CKM_SHA512, kNoKey, nullptr, HashAlgorithm::kSha512, CKF_DIGEST, 0, 0},
};

class Digests final : public Family {
 public:
  std::span<const Mechanism> mechanisms() const override { return kMechanisms; }
  Plan MakePlan(const PlanRequest& request) const override {
    RequireNoParameter(request.requested);
    const std::size_t bytes = HashBytes(*request.mechanism.hash);
    return {&request.mechanism, bytes, bytes, {}};
  }
};

constinit const Digests family;

}  // namespace

const Family& DigestFamily() { return family; }

}  // namespace tlskeep
