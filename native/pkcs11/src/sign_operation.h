// An active signature operation of a session, between C_SignInit and the signature.
#pragma once

#include <memory>
#include <optional>

#include "crypto/hash.h"
#include "mechanism/mechanism.h"
#include "object.h"

namespace tlskeep {

class SignOperation {
 public:
  SignOperation(const Libcrypto& libcrypto, std::shared_ptr<const Object> key, const SignPlan& plan,
                CK_SLOT_ID slot);

  std::size_t signature_bytes() const { return plan_.signature_bytes; }
  CK_SLOT_ID slot() const { return slot_; }
  // Whether C_SignUpdate has been called.
  bool multi_part() const { return multi_part_; }
  // Whether the mechanism hashes, as it has to for C_SignUpdate.
  bool takes_parts() const { return hash_.has_value(); }

  void Update(ByteView data);
  // The requests to the enclave that end the operation. @throws Pkcs11Error CKR_DATA_LEN_RANGE
  SignRequest SinglePart(ByteView data);
  SignRequest MultiPart();

 private:
  SignRequest Request(ByteView input) const;

  std::shared_ptr<const Object> key_;
  SignPlan plan_;
  CK_SLOT_ID slot_;
  std::optional<Hash> hash_;
  bool multi_part_ = false;
};

}  // namespace tlskeep
