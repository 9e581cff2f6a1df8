// Encryption with public keys, here, and decryption, in an enclave whose policy allows it (PKCS #11 v2.40 base
// §5.8, §5.9). RSA takes one part.
#include "entry/operation.h"

using namespace tlskeep;

extern "C" CK_RV C_EncryptInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey) {
  return WithModule("C_EncryptInit", [&](Module& module) {
    return StartKeyOperation(module, hSession, OperationKind::kEncrypt, pMechanism, hKey);
  });
}

extern "C" CK_RV C_Encrypt(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pData, CK_ULONG ulDataLen,
                           CK_BYTE_PTR pEncryptedData, CK_ULONG_PTR pulEncryptedDataLen) {
  return WithModule("C_Encrypt", [&](Module& module) {
    return FinishOperation(module, hSession, OperationKind::kEncrypt, Whole{pData, ulDataLen}, pEncryptedData,
                           pulEncryptedDataLen);
  });
}

extern "C" CK_RV C_DecryptInit(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_OBJECT_HANDLE hKey) {
  return WithModule("C_DecryptInit", [&](Module& module) {
    return StartKeyOperation(module, hSession, OperationKind::kDecrypt, pMechanism, hKey);
  });
}

extern "C" CK_RV C_Decrypt(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pEncryptedData, CK_ULONG ulEncryptedDataLen,
                           CK_BYTE_PTR pData, CK_ULONG_PTR pulDataLen) {
  return WithModule("C_Decrypt", [&](Module& module) {
    return FinishOperation(module, hSession, OperationKind::kDecrypt, Whole{pEncryptedData, ulEncryptedDataLen}, pData,
                           pulDataLen);
  });
}
