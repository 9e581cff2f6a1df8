// C_GetFunctionList, C_GetInterfaceList and C_GetInterface, and the tables they hand out.
#include <cstring>

#include "entry/boundary.h"

using namespace tlskeep;

namespace {

// The functions of v2.40 in the order of both structures, which begin with them.
#define TLSKEEP_FUNCTIONS_2_40 \
  C_Initialize, \
  C_Finalize, \
  C_GetInfo, \
  C_GetFunctionList, \
  C_GetSlotList, \
  C_GetSlotInfo, \
  C_GetTokenInfo, \
  C_GetMechanismList, \
  C_GetMechanismInfo, \
  C_InitToken, \
  C_InitPIN, \
  C_SetPIN, \
  C_OpenSession, \
  C_CloseSession, \
  C_CloseAllSessions, \
  C_GetSessionInfo, \
  C_GetOperationState, \
  C_SetOperationState, \
  C_Login, \
  C_Logout, \
  C_CreateObject, \
  C_CopyObject, \
  C_DestroyObject, \
  C_GetObjectSize, \
  C_GetAttributeValue, \
  C_SetAttributeValue, \
  C_FindObjectsInit, \
  C_FindObjects, \
  C_FindObjectsFinal, \
  C_EncryptInit, \
  C_Encrypt, \
  C_EncryptUpdate, \
  C_EncryptFinal, \
  C_DecryptInit, \
  C_Decrypt, \
  C_DecryptUpdate, \
  C_DecryptFinal, \
  C_DigestInit, \
  C_Digest, \
  C_DigestUpdate, \
  C_DigestKey, \
  C_DigestFinal, \
  C_SignInit, \
  C_Sign, \
  C_SignUpdate, \
  C_SignFinal, \
  C_SignRecoverInit, \
  C_SignRecover, \
  C_VerifyInit, \
  C_Verify, \
  C_VerifyUpdate, \
  C_VerifyFinal, \
  C_VerifyRecoverInit, \
  C_VerifyRecover, \
  C_DigestEncryptUpdate, \
  C_DecryptDigestUpdate, \
  C_SignEncryptUpdate, \
  C_DecryptVerifyUpdate, \
  C_GenerateKey, \
  C_GenerateKeyPair, \
  C_WrapKey, \
  C_UnwrapKey, \
  C_DeriveKey, \
  C_SeedRandom, \
  C_GenerateRandom, \
  C_GetFunctionStatus, \
  C_CancelFunction, \
  C_WaitForSlotEvent

// Each table in the order of its structure. Not const: the interface hands out pointers to mutable.
constinit CK_FUNCTION_LIST function_list = {
    {CRYPTOKI_VERSION_MAJOR, CRYPTOKI_VERSION_MINOR},
    TLSKEEP_FUNCTIONS_2_40,
};

constinit CK_FUNCTION_LIST_3_0 function_list_3_0 = {
    {3, 0},
    TLSKEEP_FUNCTIONS_2_40,
    C_GetInterfaceList,
    C_GetInterface,
    C_LoginUser,
    C_SessionCancel,
    C_MessageEncryptInit,
    C_EncryptMessage,
    C_EncryptMessageBegin,
    C_EncryptMessageNext,
    C_MessageEncryptFinal,
    C_MessageDecryptInit,
    C_DecryptMessage,
    C_DecryptMessageBegin,
    C_DecryptMessageNext,
    C_MessageDecryptFinal,
    C_MessageSignInit,
    C_SignMessage,
    C_SignMessageBegin,
    C_SignMessageNext,
    C_MessageSignFinal,
    C_MessageVerifyInit,
    C_VerifyMessage,
    C_VerifyMessageBegin,
    C_VerifyMessageNext,
    C_MessageVerifyFinal,
};

constinit unsigned char interface_name[] = "PKCS 11";

// The default one first. A forked child may go on with what its parent had.
constinit CK_INTERFACE interfaces[] = {
    {interface_name, &function_list_3_0, CKF_INTERFACE_FORK_SAFE},
    {interface_name, &function_list, CKF_INTERFACE_FORK_SAFE},
};

bool IsVersion(const CK_INTERFACE& offered, const CK_VERSION& wanted) {
  // Every function list begins with its version.
  const auto* version = static_cast<const CK_VERSION*>(offered.pFunctionList);
  return version->major == wanted.major && version->minor == wanted.minor;
}

}  // namespace

extern "C" CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR ppFunctionList) {
  return AtBoundary("C_GetFunctionList", [&]() -> CK_RV {
    RequirePointer(ppFunctionList);
    *ppFunctionList = &function_list;
    return CKR_OK;
  });
}

extern "C" CK_RV C_GetInterfaceList(CK_INTERFACE_PTR pInterfacesList, CK_ULONG_PTR pulCount) {
  return AtBoundary("C_GetInterfaceList", [&]() -> CK_RV {
    return WriteList(std::span<const CK_INTERFACE>(interfaces), pInterfacesList, pulCount);
  });
}

extern "C" CK_RV C_GetInterface(CK_UTF8CHAR_PTR pInterfaceName, CK_VERSION_PTR pVersion,
                                CK_INTERFACE_PTR_PTR ppInterface, CK_FLAGS flags) {
  return AtBoundary("C_GetInterface", [&]() -> CK_RV {
    RequirePointer(ppInterface);
    for (CK_INTERFACE& offered : interfaces) {
      if (pInterfaceName != nullptr && std::strcmp(reinterpret_cast<const char*>(pInterfaceName),
                                                   reinterpret_cast<const char*>(interface_name)) != 0) {
        continue;
      }
      if (pVersion != nullptr && !IsVersion(offered, *pVersion)) continue;
      if ((offered.flags & flags) != flags) continue;
      *ppInterface = &offered;
      return CKR_OK;
    }
    return CKR_FUNCTION_FAILED;
  });
}
