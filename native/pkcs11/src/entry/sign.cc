// Signature functions (PKCS #11 v2.40 base §5.11).
#include "entry/boundary.h"

using namespace tlskeep;

namespace {

CK_RV WriteSignature(const Bytes& signature, CK_BYTE_PTR output) {
  std::copy(signature.begin(), signature.end(), output);
  return CKR_OK;
}

}  // namespace

extern "C" CK_RV C_SignInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey) {
  return WithModule("C_SignInit", [&](Module& module) -> CK_RV {
    RequirePointer(pMechanism);
    module.sessions().RequireNoSign(hSession);
    const SessionInfo info = module.sessions().Info(hSession);
    const auto key = module.directory().Find(hKey);
    if (key == nullptr || key->label != module.directory().SlotAt(info.slot).label) return CKR_KEY_HANDLE_INVALID;
    if (key->object_class == CKO_CERTIFICATE) return CKR_KEY_HANDLE_INVALID;
    if (key->object_class != CKO_PRIVATE_KEY) return CKR_KEY_FUNCTION_NOT_PERMITTED;
    if (!info.logged_in) return CKR_USER_NOT_LOGGED_IN;
    const SignPlan plan = PlanSignature(*pMechanism, key->public_key, key->mechanisms);
    module.sessions().StartSign(hSession,
                                std::make_unique<SignOperation>(module.libcrypto(), key, plan, info.slot));
    return CKR_OK;
  });
}

extern "C" CK_RV C_Sign(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pData, CK_ULONG ulDataLen, CK_BYTE_PTR pSignature,
                        CK_ULONG_PTR pulSignatureLen) {
  return WithModule("C_Sign", [&](Module& module) -> CK_RV {
    OperationScope operation(module.sessions(), hSession);
    if (operation->multi_part()) return CKR_OPERATION_NOT_INITIALIZED;
    if (const CK_RV rv = SizeOutput(pSignature, pulSignatureLen, operation->signature_bytes());
        rv != CKR_OK || pSignature == nullptr) {
      operation.Keep();
      return rv;
    }
    const SignRequest request = operation->SinglePart(Input(pData, ulDataLen));
    return WriteSignature(module.Sign(*operation, request), pSignature);
  });
}

extern "C" CK_RV C_SignUpdate(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pPart, CK_ULONG ulPartLen) {
  return WithModule("C_SignUpdate", [&](Module& module) -> CK_RV {
    OperationScope operation(module.sessions(), hSession);
    if (!operation->takes_parts()) return CKR_OPERATION_NOT_INITIALIZED;
    operation->Update(Input(pPart, ulPartLen));
    operation.Keep();
    return CKR_OK;
  });
}

extern "C" CK_RV C_SignFinal(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pSignature, CK_ULONG_PTR pulSignatureLen) {
  return WithModule("C_SignFinal", [&](Module& module) -> CK_RV {
    OperationScope operation(module.sessions(), hSession);
    if (!operation->takes_parts()) return CKR_OPERATION_NOT_INITIALIZED;
    if (const CK_RV rv = SizeOutput(pSignature, pulSignatureLen, operation->signature_bytes());
        rv != CKR_OK || pSignature == nullptr) {
      operation.Keep();
      return rv;
    }
    const SignRequest request = operation->MultiPart();
    return WriteSignature(module.Sign(*operation, request), pSignature);
  });
}
