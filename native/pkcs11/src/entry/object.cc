// Object management functions (PKCS #11 v2.40 base §5.7), as far as a read-only token has them.
#include "entry/visible_object.h"

using namespace tlskeep;

extern "C" CK_RV C_GetObjectSize(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ULONG_PTR pulSize) {
  return WithModule("C_GetObjectSize", [&](Module& module) -> CK_RV {
    RequirePointer(pulSize);
    *pulSize = VisibleObject(module, hSession, hObject)->attributes.size();
    return CKR_OK;
  });
}

extern "C" CK_RV C_GetAttributeValue(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject,
                                     CK_ATTRIBUTE_PTR pTemplate, CK_ULONG ulCount) {
  return WithModule("C_GetAttributeValue", [&](Module& module) -> CK_RV {
    const auto object = VisibleObject(module, hSession, hObject);
    RequirePointer(pTemplate);
    return object->attributes.Fill(Input(pTemplate, ulCount));
  });
}

extern "C" CK_RV C_FindObjectsInit(CK_SESSION_HANDLE hSession, CK_ATTRIBUTE_PTR pTemplate, CK_ULONG ulCount) {
  return WithModule("C_FindObjectsInit", [&](Module& module) -> CK_RV {
    const std::span<const CK_ATTRIBUTE> wanted = Input(pTemplate, ulCount);
    for (const CK_ATTRIBUTE& attribute : wanted) {
      if (attribute.ulValueLen != 0) RequirePointer(attribute.pValue);
    }
    module.sessions().RequireNoSearch(hSession);
    module.directory().Refresh();
    const SessionInfo info = module.sessions().Info(hSession);
    std::vector<CK_OBJECT_HANDLE> found;
    for (const CK_OBJECT_HANDLE handle : module.directory().SlotAt(info.slot).objects) {
      const auto object = module.directory().Find(handle);
      if (object->private_object && !info.logged_in) continue;
      if (Matches(*object, wanted)) found.push_back(handle);
    }
    module.sessions().StartSearch(hSession, std::move(found));
    return CKR_OK;
  });
}

extern "C" CK_RV C_FindObjects(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE_PTR phObject, CK_ULONG ulMaxObjectCount,
                               CK_ULONG_PTR pulObjectCount) {
  return WithModule("C_FindObjects", [&](Module& module) -> CK_RV {
    RequirePointer(pulObjectCount);
    const std::span<CK_OBJECT_HANDLE> output = Input(phObject, ulMaxObjectCount);
    const auto found = module.sessions().NextFound(hSession, output.size());
    std::copy(found.begin(), found.end(), output.begin());
    *pulObjectCount = found.size();
    return CKR_OK;
  });
}

extern "C" CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE hSession) {
  return WithModule("C_FindObjectsFinal", [&](Module& module) -> CK_RV {
    module.sessions().EndSearch(hSession);
    return CKR_OK;
  });
}
