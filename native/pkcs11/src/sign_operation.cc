// Hashes here and leaves the private key's part to the enclave.
#include "sign_operation.h"

namespace tlskeep {

SignOperation::SignOperation(const Libcrypto& libcrypto, std::shared_ptr<const Object> key, const SignPlan& plan,
                             CK_SLOT_ID slot)
    : key_(std::move(key)), plan_(plan), slot_(slot) {
  if (plan_.mechanism->hash) hash_.emplace(libcrypto, *plan_.mechanism->hash);
}

void SignOperation::Update(ByteView data) {
  hash_->Update(data);
  multi_part_ = true;
}

SignRequest SignOperation::SinglePart(ByteView data) {
  if (!hash_) return Request(data);
  hash_->Update(data);
  return MultiPart();
}

SignRequest SignOperation::MultiPart() { return Request(hash_->Finish()); }

SignRequest SignOperation::Request(ByteView input) const {
  return {key_->label, key_->public_key.fingerprint, plan_.mechanism->wire_name, WireData(plan_, input), plan_.pss};
}

}  // namespace tlskeep
