// Functions that verify signatures (PKCS #11 v2.40 base §5.13), here and not in the enclave.
#include "entry/operation.h"

using namespace tlskeep;

extern "C" CK_RV C_VerifyInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey) {
  return WithModule("C_VerifyInit", [&](Module& module) {
    return StartKeyOperation(module, hSession, OperationKind::kVerify, pMechanism, hKey);
  });
}

extern "C" CK_RV C_Verify(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pData, CK_ULONG ulDataLen, CK_BYTE_PTR pSignature,
                          CK_ULONG ulSignatureLen) {
  return WithModule("C_Verify", [&](Module& module) {
    return FinishVerification(module, hSession, Whole{pData, ulDataLen}, pSignature, ulSignatureLen);
  });
}

extern "C" CK_RV C_VerifyUpdate(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pPart, CK_ULONG ulPartLen) {
  return WithModule("C_VerifyUpdate", [&](Module& module) {
    return UpdateOperation(module, hSession, OperationKind::kVerify, pPart, ulPartLen);
  });
}

extern "C" CK_RV C_VerifyFinal(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pSignature, CK_ULONG ulSignatureLen) {
  return WithModule("C_VerifyFinal", [&](Module& module) {
    return FinishVerification(module, hSession, std::nullopt, pSignature, ulSignatureLen);
  });
}
