// The signature mechanisms: what each wants from C_SignInit, and what it sends to the enclave.
#pragma once

#include <optional>
#include <span>

#include "client/messages.h"
#include "crypto/hash.h"
#include "crypto/public_key.h"
#include "cryptoki.h"

namespace tlskeep {

struct Mechanism {
  CK_MECHANISM_TYPE type;
  CK_KEY_TYPE key_type;
  const char* wire_name;              // the enclave's name for what it does with the digest
  std::optional<HashAlgorithm> hash;  // done here; without it the caller brings the digest
  CK_ULONG smallest_key;              // bits
  CK_ULONG largest_key;
};

// One C_SignInit, agreed: the rest needs data only.
struct SignPlan {
  const Mechanism* mechanism;
  std::size_t signature_bytes;
  std::optional<PssParameter> pss;
  // PSS without a hash of its own: the length that the data has to have. 0 if it is not fixed.
  std::size_t data_bytes = 0;
};

// One family per file; each checks the parameter of its mechanisms and shapes their data.
// Plan... throw Pkcs11Error CKR_MECHANISM_PARAM_INVALID. ...Data take the digest (or the caller's data, for
// a mechanism without a hash) and throw CKR_DATA_LEN_RANGE for a length the mechanism cannot sign.
std::span<const Mechanism> RsaPkcsMechanisms();
SignPlan PlanRsaPkcs(const Mechanism& mechanism, const CK_MECHANISM& request, const PublicKey& key);
Bytes RsaPkcsData(const SignPlan& plan, ByteView input);

std::span<const Mechanism> RsaPssMechanisms();
SignPlan PlanRsaPss(const Mechanism& mechanism, const CK_MECHANISM& request, const PublicKey& key);
Bytes RsaPssData(const SignPlan& plan, ByteView input);

std::span<const Mechanism> EcdsaMechanisms();
SignPlan PlanEcdsa(const Mechanism& mechanism, const CK_MECHANISM& request, const PublicKey& key);
Bytes EcdsaData(const SignPlan& plan, ByteView input);

// The mechanisms for a key, as far as the enclave accepts them: `accepted` are its names.
std::vector<const Mechanism*> MechanismsFor(CK_KEY_TYPE key_type, std::span<const std::string> accepted);

// @throws Pkcs11Error CKR_MECHANISM_INVALID, CKR_KEY_TYPE_INCONSISTENT or CKR_MECHANISM_PARAM_INVALID.
SignPlan PlanSignature(const CK_MECHANISM& request, const PublicKey& key, std::span<const Mechanism* const> offered);
// What `sign` carries for this plan.
Bytes WireData(const SignPlan& plan, ByteView input);

// For families without a parameter.
void RequireNoParameter(const CK_MECHANISM& request);

}  // namespace tlskeep
