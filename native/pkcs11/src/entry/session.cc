// Session management functions (PKCS #11 v2.40 base §5.6).
#include "entry/boundary.h"

using namespace tlskeep;

namespace {

struct Cancellation {
  CK_FLAGS flag;
  OperationKind kind;
};
constexpr Cancellation kCancellations[] = {
    {CKF_DIGEST, OperationKind::kDigest},   {CKF_SIGN, OperationKind::kSign},
    {CKF_VERIFY, OperationKind::kVerify},   {CKF_ENCRYPT, OperationKind::kEncrypt},
    {CKF_DECRYPT, OperationKind::kDecrypt},
};

CK_RV LogIn(Module& module, CK_SESSION_HANDLE session, CK_USER_TYPE user, CK_UTF8CHAR_PTR pin, CK_ULONG pin_bytes) {
  const SessionInfo info = module.sessions().Info(session);
  switch (user) {
    case CKU_USER:
      break;
    case CKU_SO:
      if (module.sessions().Count(info.slot) > module.sessions().CountReadWrite(info.slot)) {
        return CKR_SESSION_READ_ONLY_EXISTS;
      }
      return CKR_USER_TYPE_INVALID;  // the token has no security officer
    case CKU_CONTEXT_SPECIFIC:
      return CKR_OPERATION_NOT_INITIALIZED;
    default:
      return CKR_USER_TYPE_INVALID;
  }
  RequirePointer(pin);
  module.LogIn(session, {pin, pin_bytes});
  return CKR_OK;
}

}  // namespace

extern "C" CK_RV C_OpenSession(CK_SLOT_ID slotID, CK_FLAGS flags, CK_VOID_PTR, CK_NOTIFY,
                               CK_SESSION_HANDLE_PTR phSession) {
  return WithModule("C_OpenSession", [&](Module& module) -> CK_RV {
    RequirePointer(phSession);
    if ((flags & CKF_SERIAL_SESSION) == 0) return CKR_SESSION_PARALLEL_NOT_SUPPORTED;
    // Not for a token that is known: its consumer may hold a lock that others wait for.
    if (!module.directory().Holds(slotID)) module.directory().Refresh();
    module.directory().TokenAt(slotID);
    // Consumers such as ssh-keygen ask for read-write sessions only to read: it is writing that is refused.
    *phSession = module.sessions().Open(slotID, (flags & CKF_RW_SESSION) != 0);
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
    pInfo->flags = CKF_SERIAL_SESSION;
    if (info.read_write) {
      pInfo->flags |= CKF_RW_SESSION;
      pInfo->state = info.logged_in ? CKS_RW_USER_FUNCTIONS : CKS_RW_PUBLIC_SESSION;
    } else {
      pInfo->state = info.logged_in ? CKS_RO_USER_FUNCTIONS : CKS_RO_PUBLIC_SESSION;
    }
    return CKR_OK;
  });
}

extern "C" CK_RV C_Login(CK_SESSION_HANDLE hSession, CK_USER_TYPE userType, CK_UTF8CHAR_PTR pPin,
                         CK_ULONG ulPinLen) {
  return WithModule("C_Login", [&](Module& module) { return LogIn(module, hSession, userType, pPin, ulPinLen); });
}

extern "C" CK_RV C_LoginUser(CK_SESSION_HANDLE hSession, CK_USER_TYPE userType, CK_UTF8CHAR_PTR pPin,
                             CK_ULONG ulPinLen, CK_UTF8CHAR_PTR pUsername, CK_ULONG ulUsernameLen) {
  return WithModule("C_LoginUser", [&](Module& module) -> CK_RV {
    module.sessions().Info(hSession);
    // The one user of a token has no name: no PIN is right for another.
    if (!Input(pUsername, ulUsernameLen).empty()) return CKR_PIN_INCORRECT;
    return LogIn(module, hSession, userType, pPin, ulPinLen);
  });
}

extern "C" CK_RV C_Logout(CK_SESSION_HANDLE hSession) {
  return WithModule("C_Logout", [&](Module& module) -> CK_RV {
    module.LogOut(hSession);
    return CKR_OK;
  });
}

extern "C" CK_RV C_SessionCancel(CK_SESSION_HANDLE hSession, CK_FLAGS flags) {
  return WithModule("C_SessionCancel", [&](Module& module) -> CK_RV {
    module.sessions().Info(hSession);
    for (const Cancellation& entry : kCancellations) {
      if ((flags & entry.flag) != 0) module.sessions().Cancel(hSession, entry.kind);
    }
    if ((flags & CKF_FIND_OBJECTS) != 0) module.sessions().CancelSearch(hSession);
    // What else the flags may name is never active.
    return CKR_OK;
  });
}

// PKCS #11 v2.40 base §5.6: an operation that stands between the caller and the enclave is not to be moved.
extern "C" CK_RV C_GetOperationState(CK_SESSION_HANDLE hSession, CK_BYTE_PTR, CK_ULONG_PTR pulOperationStateLen) {
  return WithModule("C_GetOperationState", [&](Module& module) -> CK_RV {
    RequirePointer(pulOperationStateLen);
    return module.sessions().AnyActive(hSession) ? CKR_STATE_UNSAVEABLE : CKR_OPERATION_NOT_INITIALIZED;
  });
}

extern "C" CK_RV C_SetOperationState(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pOperationState,
                                     CK_ULONG ulOperationStateLen, CK_OBJECT_HANDLE, CK_OBJECT_HANDLE) {
  return WithModule("C_SetOperationState", [&](Module& module) -> CK_RV {
    module.sessions().Info(hSession);
    Input(pOperationState, ulOperationStateLen);
    return CKR_SAVED_STATE_INVALID;  // none was ever handed out
  });
}
