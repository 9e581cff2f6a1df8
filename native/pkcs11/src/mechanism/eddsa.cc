// CKM_EDDSA with Ed25519 keys (RFC 8032 §5.1): pure, over the whole message.
#include "crypto/ec.h"
#include "mechanism/mechanism.h"

namespace tlskeep {
namespace {

// PROTOCOL.md: what fits a request.
constexpr std::size_t kLongestMessage = 60'000;

constexpr Mechanism kMechanisms[] = {
    {CKM_EDDSA, CKK_EC_EDWARDS, "EDDSA", std::nullopt, CKF_SIGN | CKF_VERIFY, 255, 255},
};

class Eddsa final : public Family {
 public:
  std::span<const Mechanism> mechanisms() const override { return kMechanisms; }
  Plan MakePlan(const PlanRequest& request) const override {
    // A parameter would ask for Ed25519ctx or Ed25519ph.
    RequireNoParameter(request.requested);
    return {&request.mechanism, 0, kLongestMessage, {}};
  }
  Bytes SignData(const Plan&, const PublicKey&, ByteView input) const override { return ToBytes(input); }
  bool Verify(Libcrypto& libcrypto, const Plan&, const PublicKey& key, ByteView input,
              ByteView signature) const override {
    return VerifyEddsa(libcrypto, key, input, signature);
  }
};

constinit const Eddsa family;

}  // namespace

const Family& EddsaFamily() { return family; }

}  // namespace tlskeep
