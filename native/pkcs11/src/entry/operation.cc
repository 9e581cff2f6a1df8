// Starts, feeds and ends operations.
#include "entry/operation.h"

namespace tlskeep {
namespace {

struct KindRule {
  CK_FLAGS use;
  CK_OBJECT_CLASS key_class;
};

KindRule RuleOf(OperationKind kind) {
  switch (kind) {
    case OperationKind::kSign:
      return {CKF_SIGN, CKO_PRIVATE_KEY};
    case OperationKind::kVerify:
      return {CKF_VERIFY, CKO_PUBLIC_KEY};
    case OperationKind::kEncrypt:
      return {CKF_ENCRYPT, CKO_PUBLIC_KEY};
    case OperationKind::kDecrypt:
      return {CKF_DECRYPT, CKO_PRIVATE_KEY};
    case OperationKind::kDigest:
      break;
  }
  throw std::logic_error("a kind of operation without a key");
}

std::unique_ptr<Operation> MakeKeyOperation(OperationKind kind, const Libcrypto& libcrypto,
                                            std::shared_ptr<const Object> key, Plan plan, CK_SLOT_ID slot) {
  switch (kind) {
    case OperationKind::kSign:
      return std::make_unique<SignOperation>(libcrypto, std::move(key), std::move(plan), slot);
    case OperationKind::kVerify:
      return std::make_unique<VerifyOperation>(libcrypto, std::move(key), std::move(plan), slot);
    case OperationKind::kEncrypt:
      return std::make_unique<EncryptOperation>(libcrypto, std::move(key), std::move(plan), slot);
    case OperationKind::kDecrypt:
      return std::make_unique<DecryptOperation>(libcrypto, std::move(key), std::move(plan), slot);
    case OperationKind::kDigest:
      break;
  }
  throw std::logic_error("a kind of operation without a key");
}

// What the enclave's policy leaves of a private key's hashes; a public key works here, with all of them.
std::span<const HashAlgorithm> HashesFor(const Object& key) {
  if (key.object_class == CKO_PRIVATE_KEY) return key.hashes;
  return kAllHashes;
}

// PKCS #11 v3.0 base §5.8.1: a null mechanism asks to end what is active.
CK_RV CancelByNull(Module& module, CK_SESSION_HANDLE session, OperationKind kind) {
  return module.sessions().Cancel(session, kind) ? CKR_OK : CKR_ARGUMENTS_BAD;
}

}  // namespace

CK_RV StartKeyOperation(Module& module, CK_SESSION_HANDLE session, OperationKind kind, CK_MECHANISM_PTR mechanism,
                        CK_OBJECT_HANDLE key) {
  if (mechanism == nullptr) return CancelByNull(module, session, kind);
  const KindRule rule = RuleOf(kind);
  const SessionInfo info = module.sessions().InfoToStart(session, kind);
  auto object = module.directory().Find(info.slot, key);
  if (object == nullptr || object->object_class == CKO_CERTIFICATE) return CKR_KEY_HANDLE_INVALID;
  if (object->object_class != rule.key_class) return CKR_KEY_FUNCTION_NOT_PERMITTED;
  if (object->private_object && !info.logged_in) return CKR_USER_NOT_LOGGED_IN;
  Plan plan = MakePlan(*mechanism, object->public_key, object->offers, rule.use, HashesFor(*object));
  module.sessions().Start(session, kind,
                          MakeKeyOperation(kind, module.libcrypto(), std::move(object), std::move(plan), info.slot));
  return CKR_OK;
}

CK_RV StartDigest(Module& module, CK_SESSION_HANDLE session, CK_MECHANISM_PTR mechanism) {
  if (mechanism == nullptr) return CancelByNull(module, session, OperationKind::kDigest);
  module.sessions().RequireNone(session, OperationKind::kDigest);
  const Mechanism* found = FindMechanism(mechanism->mechanism);
  if (found == nullptr || (found->uses & CKF_DIGEST) == 0) return CKR_MECHANISM_INVALID;
  const Plan plan = FamilyOf(*found).MakePlan({*found, *mechanism, {}, kAllHashes});
  module.sessions().Start(session, OperationKind::kDigest, std::make_unique<DigestOperation>(module.libcrypto(), plan));
  return CKR_OK;
}

CK_RV UpdateOperation(Module& module, CK_SESSION_HANDLE session, OperationKind kind, CK_BYTE_PTR part, CK_ULONG size) {
  OperationScope operation(module.sessions(), session, kind);
  if (!operation->takes_parts() || operation->has_output()) return CKR_OPERATION_NOT_INITIALIZED;
  operation->Update(Input(part, size));
  operation.Keep();
  return CKR_OK;
}

CK_RV FinishOperation(Module& module, CK_SESSION_HANDLE session, OperationKind kind, std::optional<Whole> whole,
                      CK_BYTE_PTR output, CK_ULONG_PTR output_size) {
  OperationScope operation(module.sessions(), session, kind);
  if (whole ? operation->multi_part() : !operation->takes_parts()) return CKR_OPERATION_NOT_INITIALIZED;
  RequirePointer(output_size);
  // An output whose length varies has to be made before a short buffer can be told from one that fits.
  if (output == nullptr || !operation->output_varies()) {
    if (const CK_RV rv = SizeOutput(output, output_size, operation->output_bytes());
        rv != CKR_OK || output == nullptr) {
      operation.Keep();
      return rv;
    }
  }
  Bytes digest;
  ByteView input;
  if (!operation->has_output()) {
    input = whole ? operation->SinglePart(Input(whole->data, whole->size), digest) : operation->MultiPart(digest);
  }
  const ByteView produced = operation->Output(module, input);
  if (const CK_RV rv = SizeOutput(output, output_size, produced.size()); rv != CKR_OK) {
    operation.Keep();
    return rv;
  }
  std::copy(produced.begin(), produced.end(), output);
  return CKR_OK;
}

CK_RV FinishVerification(Module& module, CK_SESSION_HANDLE session, std::optional<Whole> whole, CK_BYTE_PTR signature,
                         CK_ULONG signature_size) {
  OperationScope operation(module.sessions(), session, OperationKind::kVerify);
  if (whole ? operation->multi_part() : !operation->takes_parts()) return CKR_OPERATION_NOT_INITIALIZED;
  static_cast<VerifyOperation&>(*operation).SetSignature(Input(signature, signature_size));
  Bytes digest;
  operation->Output(module, whole ? operation->SinglePart(Input(whole->data, whole->size), digest)
                                  : operation->MultiPart(digest));
  return CKR_OK;
}

}  // namespace tlskeep
