// Finds the family of a mechanism.
#include "mechanism/mechanism.h"

#include <algorithm>

#include "error.h"

namespace tlskeep {
namespace {

struct Family {
  std::span<const Mechanism> (*mechanisms)();
  SignPlan (*plan)(const Mechanism&, const CK_MECHANISM&, const PublicKey&);
  Bytes (*data)(const SignPlan&, ByteView);
};

constexpr Family kFamilies[] = {
    {RsaPkcsMechanisms, PlanRsaPkcs, RsaPkcsData},
    {RsaPssMechanisms, PlanRsaPss, RsaPssData},
    {EcdsaMechanisms, PlanEcdsa, EcdsaData},
};

struct Found {
  const Family* family;
  const Mechanism* mechanism;
};

Found Find(CK_MECHANISM_TYPE type) {
  for (const Family& family : kFamilies) {
    for (const Mechanism& mechanism : family.mechanisms()) {
      if (mechanism.type == type) return {&family, &mechanism};
    }
  }
  throw Pkcs11Error(CKR_MECHANISM_INVALID, "unknown mechanism");
}

}  // namespace

std::vector<const Mechanism*> MechanismsFor(CK_KEY_TYPE key_type, std::span<const std::string> accepted) {
  std::vector<const Mechanism*> mechanisms;
  for (const Family& family : kFamilies) {
    for (const Mechanism& mechanism : family.mechanisms()) {
      if (mechanism.key_type != key_type) continue;
      if (std::find(accepted.begin(), accepted.end(), mechanism.wire_name) == accepted.end()) continue;
      mechanisms.push_back(&mechanism);
    }
  }
  return mechanisms;
}

SignPlan PlanSignature(const CK_MECHANISM& request, const PublicKey& key,
                       std::span<const Mechanism* const> offered) {
  const Found found = Find(request.mechanism);
  if (found.mechanism->key_type != key.type) {
    throw Pkcs11Error(CKR_KEY_TYPE_INCONSISTENT, "mechanism for another kind of key");
  }
  if (std::find(offered.begin(), offered.end(), found.mechanism) == offered.end()) {
    throw Pkcs11Error(CKR_MECHANISM_INVALID, "mechanism that the enclave does not accept");
  }
  return found.family->plan(*found.mechanism, request, key);
}

Bytes WireData(const SignPlan& plan, ByteView input) {
  return Find(plan.mechanism->type).family->data(plan, input);
}

void RequireNoParameter(const CK_MECHANISM& request) {
  if (request.pParameter != nullptr || request.ulParameterLen != 0) {
    throw Pkcs11Error(CKR_MECHANISM_PARAM_INVALID, "mechanism without a parameter");
  }
}

}  // namespace tlskeep
