// Does public-key work here and leaves the private key's to the enclave.
#include "operation/key_operation.h"

#include "error.h"
#include "module.h"

namespace tlskeep {
namespace {

std::optional<Hash> HashOf(const Libcrypto& libcrypto, const Plan& plan) {
  if (!plan.mechanism->hash) return std::nullopt;
  return Hash(libcrypto, *plan.mechanism->hash);
}

}  // namespace

DigestOperation::DigestOperation(const Libcrypto& libcrypto, const Plan& plan)
    : Operation(HashOf(libcrypto, plan), HashBytes(*plan.mechanism->hash)) {}

KeyOperation::KeyOperation(const Libcrypto& libcrypto, std::shared_ptr<const Object> key, Plan plan, CK_SLOT_ID slot,
                           std::size_t output_bytes, bool output_varies)
    : Operation(HashOf(libcrypto, plan), output_bytes, output_varies),
      key_(std::move(key)),
      plan_(std::move(plan)),
      slot_(slot) {}

void KeyOperation::RequireDataLength(ByteView input) const {
  // What this module has hashed itself fits.
  if (plan_.mechanism->hash) return;
  if (input.size() < plan_.shortest_data || input.size() > plan_.longest_data) {
    throw Pkcs11Error(CKR_DATA_LEN_RANGE, "data of a length that the mechanism does not take");
  }
}

Bytes KeyOperation::AskEnclave(Module& module, const char* op, ByteView data) const {
  return module.UseKey({op, slot_, key_->label, key().fingerprint, plan_.mechanism->wire_name, data, plan_.parameter});
}

SignOperation::SignOperation(const Libcrypto& libcrypto, std::shared_ptr<const Object> key, Plan plan,
                             CK_SLOT_ID slot)
    : KeyOperation(libcrypto, key, std::move(plan), slot, key->public_key.signature_bytes) {}

Bytes SignOperation::Complete(Module& module, ByteView input) {
  RequireDataLength(input);
  Bytes signature = AskEnclave(module, "sign", family().SignData(plan(), key(), input));
  if (signature.size() != output_bytes()) {
    throw Pkcs11Error(CKR_DEVICE_ERROR, "the enclave answered with a signature of a wrong length");
  }
  return signature;
}

VerifyOperation::VerifyOperation(const Libcrypto& libcrypto, std::shared_ptr<const Object> key, Plan plan,
                                 CK_SLOT_ID slot)
    : KeyOperation(libcrypto, std::move(key), std::move(plan), slot, 0) {}

Bytes VerifyOperation::Complete(Module& module, ByteView input) {
  RequireDataLength(input);
  if (signature_.size() != key().signature_bytes) {
    throw Pkcs11Error(CKR_SIGNATURE_LEN_RANGE, "a signature of a wrong length");
  }
  if (!family().Verify(module.libcrypto(), plan(), key(), input, signature_)) {
    throw Pkcs11Error(CKR_SIGNATURE_INVALID, "not the signature of this key over this data");
  }
  return {};
}

EncryptOperation::EncryptOperation(const Libcrypto& libcrypto, std::shared_ptr<const Object> key, Plan plan,
                                   CK_SLOT_ID slot)
    : KeyOperation(libcrypto, key, std::move(plan), slot, key->public_key.modulus.size()) {}

Bytes EncryptOperation::Complete(Module& module, ByteView input) {
  RequireDataLength(input);
  return family().Encrypt(module.libcrypto(), plan(), key(), input);
}

DecryptOperation::DecryptOperation(const Libcrypto& libcrypto, std::shared_ptr<const Object> key, Plan plan,
                                   CK_SLOT_ID slot)
    // Of all three mechanisms, raw RSA has the longest plaintext, and it is always as long as the modulus.
    : KeyOperation(libcrypto, key, std::move(plan), slot, key->public_key.modulus.size(), true) {}

Bytes DecryptOperation::Complete(Module& module, ByteView input) {
  if (input.size() != key().modulus.size()) {
    throw Pkcs11Error(CKR_ENCRYPTED_DATA_LEN_RANGE, "encrypted data that is not as long as the modulus");
  }
  Bytes plaintext = AskEnclave(module, "decrypt", input);
  if (plaintext.size() > output_bytes()) {
    throw Pkcs11Error(CKR_DEVICE_ERROR, "the enclave answered with a plaintext longer than the modulus");
  }
  return plaintext;
}

}  // namespace tlskeep
