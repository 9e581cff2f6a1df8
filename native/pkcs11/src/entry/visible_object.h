// Which objects a session may see.
#pragma once

#include "entry/boundary.h"

namespace tlskeep {

// @throws Pkcs11Error CKR_SESSION_HANDLE_INVALID, CKR_OBJECT_HANDLE_INVALID
inline std::shared_ptr<const Object> VisibleObject(Module& module, CK_SESSION_HANDLE session,
                                                   CK_OBJECT_HANDLE handle) {
  const SessionInfo info = module.sessions().Info(session);
  auto object = module.directory().Find(info.slot, handle);
  if (object == nullptr || (object->private_object && !info.logged_in)) {
    throw Pkcs11Error(CKR_OBJECT_HANDLE_INVALID, "no such object for this session");
  }
  return object;
}

}  // namespace tlskeep
