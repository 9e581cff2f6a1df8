// The operations of each kind, between C_...Init and their end.
#pragma once

#include "mechanism/mechanism.h"
#include "object.h"
#include "operation/operation.h"

namespace tlskeep {

class DigestOperation final : public Operation {
 public:
  DigestOperation(const Libcrypto& libcrypto, const Plan& plan);

 protected:
  Bytes Complete(Module&, ByteView digest) override { return ToBytes(digest); }
};

// An operation with a key of the token in `slot`.
class KeyOperation : public Operation {
 protected:
  KeyOperation(const Libcrypto& libcrypto, std::shared_ptr<const Object> key, Plan plan, CK_SLOT_ID slot,
               std::size_t output_bytes, bool output_varies = false);

  const PublicKey& key() const { return key_->public_key; }
  const Plan& plan() const { return plan_; }
  const Family& family() const { return FamilyOf(*plan_.mechanism); }
  // @throws Pkcs11Error CKR_DATA_LEN_RANGE
  void RequireDataLength(ByteView input) const;
  // What the enclave answers. @throws Pkcs11Error
  Bytes AskEnclave(Module& module, const char* op, ByteView data) const;

 private:
  std::shared_ptr<const Object> key_;
  Plan plan_;
  CK_SLOT_ID slot_;
};

class SignOperation final : public KeyOperation {
 public:
  SignOperation(const Libcrypto& libcrypto, std::shared_ptr<const Object> key, Plan plan, CK_SLOT_ID slot);

 protected:
  Bytes Complete(Module& module, ByteView input) override;
};

// Its input is the data, its output empty: the signature is given before.
class VerifyOperation final : public KeyOperation {
 public:
  VerifyOperation(const Libcrypto& libcrypto, std::shared_ptr<const Object> key, Plan plan, CK_SLOT_ID slot);
  void SetSignature(ByteView signature) { signature_ = ToBytes(signature); }

 protected:
  // @throws Pkcs11Error CKR_SIGNATURE_LEN_RANGE, CKR_SIGNATURE_INVALID
  Bytes Complete(Module& module, ByteView input) override;

 private:
  Bytes signature_;
};

class EncryptOperation final : public KeyOperation {
 public:
  EncryptOperation(const Libcrypto& libcrypto, std::shared_ptr<const Object> key, Plan plan, CK_SLOT_ID slot);

 protected:
  Bytes Complete(Module& module, ByteView input) override;
};

class DecryptOperation final : public KeyOperation {
 public:
  DecryptOperation(const Libcrypto& libcrypto, std::shared_ptr<const Object> key, Plan plan, CK_SLOT_ID slot);

 protected:
  Bytes Complete(Module& module, ByteView input) override;
};

}  // namespace tlskeep
