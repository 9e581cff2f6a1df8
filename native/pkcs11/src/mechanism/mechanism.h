// The mechanisms of this module: what each can do, what it wants to know, and what becomes of its data, here
// or in the enclave. One family a file.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "client/messages.h"
#include "crypto/hash.h"
#include "crypto/public_key.h"
#include "cryptoki.h"

namespace tlskeep {

// Stands in Mechanism::key_type for a mechanism that needs no key.
inline constexpr CK_KEY_TYPE kNoKey = CK_UNAVAILABLE_INFORMATION;

struct Mechanism {
  CK_MECHANISM_TYPE type;
  CK_KEY_TYPE key_type;
  const char* wire_name;              // the enclave's name for its part; null if it has none
  std::optional<HashAlgorithm> hash;  // done here; without it the caller brings the digest, or a whole message
  CK_FLAGS uses;                      // of CKF_SIGN, CKF_VERIFY, CKF_ENCRYPT, CKF_DECRYPT, CKF_DIGEST
  CK_ULONG smallest_key;              // bits
  CK_ULONG largest_key;
};

// What the enclave's usage policy admits for one key.
struct KeyPolicy {
  std::vector<std::string> sign;     // names of mechanisms
  std::vector<std::string> decrypt;
  std::vector<HashAlgorithm> hashes;  // of what it signs
};

// A mechanism with the uses that a token or a key has for it.
struct Offer {
  const Mechanism* mechanism;
  CK_FLAGS uses;
};

// One C_...Init, agreed: the rest needs data only.
struct Plan {
  const Mechanism* mechanism;
  // Lengths of the data (or digest) that the mechanism takes.
  std::size_t shortest_data = 0;
  std::size_t longest_data = 0;
  KeyParameter parameter;
};

// What a family makes a plan from. `hashes`: those that this use of the key admits.
struct PlanRequest {
  const Mechanism& mechanism;
  const CK_MECHANISM& requested;
  const PublicKey& key;
  std::span<const HashAlgorithm> hashes;
};

// A family of mechanisms. `input` is the digest for a mechanism that hashes, the caller's data for others;
// its length has been held against the plan.
class Family {
 public:
  virtual std::span<const Mechanism> mechanisms() const = 0;
  // @throws Pkcs11Error CKR_MECHANISM_PARAM_INVALID
  virtual Plan MakePlan(const PlanRequest& request) const = 0;
  // What the enclave is sent to sign.
  virtual Bytes SignData(const Plan& plan, const PublicKey& key, ByteView input) const;
  virtual bool Verify(Libcrypto& libcrypto, const Plan& plan, const PublicKey& key, ByteView input,
                      ByteView signature) const;
  virtual Bytes Encrypt(Libcrypto& libcrypto, const Plan& plan, const PublicKey& key, ByteView input) const;

 protected:
  ~Family() = default;
};

const Family& DigestFamily();
const Family& RsaPkcsFamily();
const Family& RsaPssFamily();
const Family& RsaOaepFamily();
const Family& RsaX509Family();
const Family& EcdsaFamily();
const Family& EddsaFamily();

// A null pointer for a mechanism that this module does not know.
const Mechanism* FindMechanism(CK_MECHANISM_TYPE type);
const Family& FamilyOf(const Mechanism& mechanism);

// All mechanisms of a kind of key, or of none, with what remains of their uses: CKF_SIGN and CKF_DECRYPT need
// the policy's leave.
std::vector<Offer> OffersFor(CK_KEY_TYPE key_type, const KeyPolicy& policy);
// The offers that have one of `uses` at least, with those uses alone.
std::vector<Offer> OffersWith(std::span<const Offer> offers, CK_FLAGS uses);

// @throws Pkcs11Error CKR_MECHANISM_INVALID, CKR_KEY_TYPE_INCONSISTENT or CKR_MECHANISM_PARAM_INVALID
Plan MakePlan(const CK_MECHANISM& requested, const PublicKey& key, std::span<const Offer> offers, CK_FLAGS use,
              std::span<const HashAlgorithm> hashes);

// For families without a parameter.
void RequireNoParameter(const CK_MECHANISM& requested);

// The hashes that a parameter names by a digest mechanism and by a mask generation function.
// @throws Pkcs11Error CKR_MECHANISM_PARAM_INVALID
HashAlgorithm HashOfMechanism(CK_MECHANISM_TYPE type);
HashAlgorithm HashOfMgf(CK_RSA_PKCS_MGF_TYPE mgf);

}  // namespace tlskeep
