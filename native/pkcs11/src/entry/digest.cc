// Message digest functions (PKCS #11 v2.40 base §5.10), here and not in the enclave.
#include "entry/operation.h"

using namespace tlskeep;

extern "C" CK_RV C_DigestInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism) {
  return WithModule("C_DigestInit", [&](Module& module) { return StartDigest(module, hSession, pMechanism); });
}

extern "C" CK_RV C_Digest(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pData, CK_ULONG ulDataLen, CK_BYTE_PTR pDigest,
                          CK_ULONG_PTR pulDigestLen) {
  return WithModule("C_Digest", [&](Module& module) {
    return FinishOperation(module, hSession, OperationKind::kDigest, Whole{pData, ulDataLen}, pDigest, pulDigestLen);
  });
}

extern "C" CK_RV C_DigestUpdate(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pPart, CK_ULONG ulPartLen) {
  return WithModule("C_DigestUpdate", [&](Module& module) {
    return UpdateOperation(module, hSession, OperationKind::kDigest, pPart, ulPartLen);
  });
}

extern "C" CK_RV C_DigestKey(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hKey) {
  return WithModule("C_DigestKey", [&](Module& module) -> CK_RV {
    OperationScope operation(module.sessions(), hSession, OperationKind::kDigest);
    // Only the value of a secret key can be digested, and there are none.
    return module.directory().Find(hKey) == nullptr ? CKR_KEY_HANDLE_INVALID : CKR_KEY_INDIGESTIBLE;
  });
}

extern "C" CK_RV C_DigestFinal(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pDigest, CK_ULONG_PTR pulDigestLen) {
  return WithModule("C_DigestFinal", [&](Module& module) {
    return FinishOperation(module, hSession, OperationKind::kDigest, std::nullopt, pDigest, pulDigestLen);
  });
}
