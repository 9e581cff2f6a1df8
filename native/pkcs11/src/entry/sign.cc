// Signature functions (PKCS #11 v2.40 base §5.11).
#include "entry/operation.h"

using namespace tlskeep;

extern "C" CK_RV C_SignInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey) {
  return WithModule("C_SignInit", [&](Module& module) {
    return StartKeyOperation(module, hSession, OperationKind::kSign, pMechanism, hKey);
  });
}

extern "C" CK_RV C_Sign(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pData, CK_ULONG ulDataLen, CK_BYTE_PTR pSignature,
                        CK_ULONG_PTR pulSignatureLen) {
  return WithModule("C_Sign", [&](Module& module) {
    return FinishOperation(module, hSession, OperationKind::kSign, Whole{pData, ulDataLen}, pSignature,
                           pulSignatureLen);
  });
}

extern "C" CK_RV C_SignUpdate(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pPart, CK_ULONG ulPartLen) {
  return WithModule("C_SignUpdate", [&](Module& module) {
    return UpdateOperation(module, hSession, OperationKind::kSign, pPart, ulPartLen);
  });
}

extern "C" CK_RV C_SignFinal(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pSignature, CK_ULONG_PTR pulSignatureLen) {
  return WithModule("C_SignFinal", [&](Module& module) {
    return FinishOperation(module, hSession, OperationKind::kSign, std::nullopt, pSignature, pulSignatureLen);
  });
}
