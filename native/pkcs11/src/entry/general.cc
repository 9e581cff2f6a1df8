// General-purpose functions (PKCS #11 v2.40 base §5.4).
#include "entry/boundary.h"
#include "version.h"

using namespace tlskeep;

namespace {

void CheckInitializeArgs(const CK_C_INITIALIZE_ARGS* args) {
  if (args == nullptr) return;
  if (args->pReserved != nullptr) throw Pkcs11Error(CKR_ARGUMENTS_BAD, "pReserved is not null");
  const int callbacks = (args->CreateMutex != nullptr) + (args->DestroyMutex != nullptr) +
                        (args->LockMutex != nullptr) + (args->UnlockMutex != nullptr);
  if (callbacks != 0 && callbacks != 4) throw Pkcs11Error(CKR_ARGUMENTS_BAD, "some mutex callbacks, not all");
  // The module locks with the operating system's primitives only.
  if (callbacks == 4 && (args->flags & CKF_OS_LOCKING_OK) == 0) {
    throw Pkcs11Error(CKR_CANT_LOCK, "mutex callbacks without CKF_OS_LOCKING_OK");
  }
}

}  // namespace

extern "C" CK_RV C_Initialize(CK_VOID_PTR pInitArgs) {
  return AtBoundary("C_Initialize", [&]() -> CK_RV {
    CheckInitializeArgs(static_cast<const CK_C_INITIALIZE_ARGS*>(pInitArgs));
    InitializeModule();
    return CKR_OK;
  });
}

extern "C" CK_RV C_Finalize(CK_VOID_PTR pReserved) {
  return AtBoundary("C_Finalize", [&]() -> CK_RV {
    if (pReserved != nullptr) throw Pkcs11Error(CKR_ARGUMENTS_BAD, "pReserved is not null");
    FinalizeModule();
    return CKR_OK;
  });
}

extern "C" CK_RV C_GetInfo(CK_INFO_PTR pInfo) {
  return WithModule("C_GetInfo", [&](Module&) -> CK_RV {
    RequirePointer(pInfo);
    *pInfo = {};
    pInfo->cryptokiVersion = {CRYPTOKI_VERSION_MAJOR, CRYPTOKI_VERSION_MINOR};
    SetPadded(pInfo->manufacturerID, kManufacturer);
    SetPadded(pInfo->libraryDescription, "TLS keys in a Nitro Enclave");
    pInfo->libraryVersion = {kVersionMajor, kVersionMinor};
    return CKR_OK;
  });
}
