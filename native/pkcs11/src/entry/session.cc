// Session management functions (PKCS #11 v2.40 base §5.6).
#include "entry/boundary.h"

using namespace tlskeep;

extern "C" CK_RV C_OpenSession(CK_SLOT_ID slotID, CK_FLAGS flags, CK_VOID_PTR, CK_NOTIFY,
                               CK_SESSION_HANDLE_PTR phSession) {
  return WithModule("C_OpenSession", [&](Module& module) -> CK_RV {
    RequirePointer(phSession);
    if ((flags & CKF_SERIAL_SESSION) == 0) return CKR_SESSION_PARALLEL_NOT_SUPPORTED;
    module.directory().Refresh();
    module.directory().TokenAt(slotID);
    if ((flags & CKF_RW_SESSION) != 0) return CKR_TOKEN_WRITE_PROTECTED;
    *phSession = module.sessions().Open(slotID);
    return CKR_OK;
  });
}

extern "C" CK_RV C_CloseSession(CK_SESSION_HANDLE hSession) {
  return WithModule("C_CloseSession", [&](Module& module) -> CK_RV {
    module.CloseSession(hSession);
    return CKR_OK;
  });
}

extern "C" CK_RV C_CloseAllSessions(CK_SLOT_ID slotID) {
  return WithModule("C_CloseAllSessions", [&](Module& module) -> CK_RV {
    module.directory().SlotAt(slotID);
    module.CloseAllSessions(slotID);
    return CKR_OK;
  });
}

extern "C" CK_RV C_GetSessionInfo(CK_SESSION_HANDLE hSession, CK_SESSION_INFO_PTR pInfo) {
  return WithModule("C_GetSessionInfo", [&](Module& module) -> CK_RV {
    RequirePointer(pInfo);
    const SessionInfo info = module.sessions().Info(hSession);
    *pInfo = {};
    pInfo->slotID = info.slot;
    pInfo->state = info.logged_in ? CKS_RO_USER_FUNCTIONS : CKS_RO_PUBLIC_SESSION;
    pInfo->flags = CKF_SERIAL_SESSION;
    return CKR_OK;
  });
}

extern "C" CK_RV C_Login(CK_SESSION_HANDLE hSession, CK_USER_TYPE userType, CK_UTF8CHAR_PTR pPin,
                         CK_ULONG ulPinLen) {
  return WithModule("C_Login", [&](Module& module) -> CK_RV {
    module.sessions().Info(hSession);
    switch (userType) {
      case CKU_USER:
        break;
      case CKU_SO:
        // There are read-only sessions alone, this one at least.
        return CKR_SESSION_READ_ONLY_EXISTS;
      case CKU_CONTEXT_SPECIFIC:
        return CKR_OPERATION_NOT_INITIALIZED;
      default:
        return CKR_USER_TYPE_INVALID;
    }
    RequirePointer(pPin);
    module.LogIn(hSession, {pPin, ulPinLen});
    return CKR_OK;
  });
}

extern "C" CK_RV C_Logout(CK_SESSION_HANDLE hSession) {
  return WithModule("C_Logout", [&](Module& module) -> CK_RV {
    module.LogOut(hSession);
    return CKR_OK;
  });
}
