// Slot and token functions (PKCS #11 v2.40 base §5.5).
#include "entry/boundary.h"
#include "version.h"

using namespace tlskeep;

namespace {

// What C_GetMechanismInfo says of the curves (v2.40 mechanisms §2.3.1, v3.0 curves §2.3.1).
CK_FLAGS CurveFlags(CK_KEY_TYPE key_type) {
  if (key_type == CKK_EC) return CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS;
  if (key_type == CKK_EC_EDWARDS) return CKF_EC_F_P | CKF_EC_CURVENAME;
  return 0;
}

}  // namespace

extern "C" CK_RV C_GetSlotList(CK_BBOOL tokenPresent, CK_SLOT_ID_PTR pSlotList, CK_ULONG_PTR pulCount) {
  return WithModule("C_GetSlotList", [&](Module& module) -> CK_RV {
    RequirePointer(pulCount);
    // Only asking for the length looks for new slots: the list that follows has to fit it. But a caller
    // may begin with a buffer.
    if (pSlotList == nullptr || !module.directory().refreshed()) module.directory().Refresh();
    return WriteList(module.directory().SlotIds(tokenPresent != CK_FALSE), pSlotList, pulCount);
  });
}

extern "C" CK_RV C_GetSlotInfo(CK_SLOT_ID slotID, CK_SLOT_INFO_PTR pInfo) {
  return WithModule("C_GetSlotInfo", [&](Module& module) -> CK_RV {
    RequirePointer(pInfo);
    const Slot slot = module.directory().SlotAt(slotID);
    *pInfo = {};
    SetPadded(pInfo->slotDescription, "tlskeep slot for " + slot.label);
    SetPadded(pInfo->manufacturerID, kManufacturer);
    pInfo->flags = CKF_REMOVABLE_DEVICE | (slot.token != nullptr ? CKF_TOKEN_PRESENT : 0);
    pInfo->firmwareVersion = {kVersionMajor, kVersionMinor};
    return CKR_OK;
  });
}

extern "C" CK_RV C_GetTokenInfo(CK_SLOT_ID slotID, CK_TOKEN_INFO_PTR pInfo) {
  return WithModule("C_GetTokenInfo", [&](Module& module) -> CK_RV {
    RequirePointer(pInfo);
    const Slot slot = module.directory().TokenAt(slotID);
    *pInfo = {};
    SetPadded(pInfo->label, slot.label);
    SetPadded(pInfo->manufacturerID, kManufacturer);
    SetPadded(pInfo->model, kModel);
    SetPadded(pInfo->serialNumber, slot.token->serial_number);
    pInfo->flags =
        CKF_RNG | CKF_WRITE_PROTECTED | CKF_LOGIN_REQUIRED | CKF_USER_PIN_INITIALIZED | CKF_TOKEN_INITIALIZED;
    pInfo->ulMaxSessionCount = CK_EFFECTIVELY_INFINITE;
    pInfo->ulSessionCount = module.sessions().Count(slotID);
    pInfo->ulMaxRwSessionCount = CK_EFFECTIVELY_INFINITE;
    pInfo->ulRwSessionCount = module.sessions().CountReadWrite(slotID);
    pInfo->ulMinPinLen = kShortestPin;
    pInfo->ulMaxPinLen = kLongestPin;
    pInfo->ulTotalPublicMemory = CK_UNAVAILABLE_INFORMATION;
    pInfo->ulFreePublicMemory = CK_UNAVAILABLE_INFORMATION;
    pInfo->ulTotalPrivateMemory = CK_UNAVAILABLE_INFORMATION;
    pInfo->ulFreePrivateMemory = CK_UNAVAILABLE_INFORMATION;
    pInfo->firmwareVersion = {kVersionMajor, kVersionMinor};
    SetPadded(pInfo->utcTime, "");
    return CKR_OK;
  });
}

extern "C" CK_RV C_GetMechanismList(CK_SLOT_ID slotID, CK_MECHANISM_TYPE_PTR pMechanismList,
                                    CK_ULONG_PTR pulCount) {
  return WithModule("C_GetMechanismList", [&](Module& module) -> CK_RV {
    const Slot slot = module.directory().TokenAt(slotID);
    std::vector<CK_MECHANISM_TYPE> types;
    for (const Offer& offer : slot.token->offers) types.push_back(offer.mechanism->type);
    return WriteList(types, pMechanismList, pulCount);
  });
}

extern "C" CK_RV C_GetMechanismInfo(CK_SLOT_ID slotID, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR pInfo) {
  return WithModule("C_GetMechanismInfo", [&](Module& module) -> CK_RV {
    RequirePointer(pInfo);
    // Held through the loop: another thread's refresh may replace the token.
    const Slot slot = module.directory().TokenAt(slotID);
    for (const Offer& offer : slot.token->offers) {
      if (offer.mechanism->type != type) continue;
      pInfo->ulMinKeySize = offer.mechanism->smallest_key;
      pInfo->ulMaxKeySize = offer.mechanism->largest_key;
      pInfo->flags = offer.uses | CurveFlags(offer.mechanism->key_type);
      return CKR_OK;
    }
    return CKR_MECHANISM_INVALID;
  });
}

extern "C" CK_RV C_WaitForSlotEvent(CK_FLAGS flags, CK_SLOT_ID_PTR pSlot, CK_VOID_PTR pReserved) {
  return WithModule("C_WaitForSlotEvent", [&](Module& module) -> CK_RV {
    RequirePointer(pSlot);
    if (pReserved != nullptr) return CKR_ARGUMENTS_BAD;
    const std::optional<CK_SLOT_ID> slot = module.SlotEvent((flags & CKF_DONT_BLOCK) == 0);
    if (!slot) return CKR_NO_EVENT;
    *pSlot = *slot;
    return CKR_OK;
  });
}
