// The functions that would write to a token, and the code that each refuses with: a read-only session may not
// write, and to a read-write one the token is write-protected (PKCS #11 v2.40 base §5.5 to §5.7, §5.14).
#include "entry/boundary.h"
#include "entry/visible_object.h"

using namespace tlskeep;

namespace {

// Whether a template asks for a token object, or, without a word of it, `otherwise`.
bool AsksForTokenObject(std::span<const CK_ATTRIBUTE> attributes, bool otherwise) {
  for (const CK_ATTRIBUTE& attribute : attributes) {
    if (attribute.type != CKA_TOKEN) continue;
    if (attribute.ulValueLen != sizeof(CK_BBOOL)) throw Pkcs11Error(CKR_ATTRIBUTE_VALUE_INVALID, "CKA_TOKEN");
    RequirePointer(attribute.pValue);
    return *static_cast<const CK_BBOOL*>(attribute.pValue) != CK_FALSE;
  }
  return otherwise;
}

// Why this session cannot write to the token.
CK_RV WriteRefusal(const SessionInfo& session) {
  return session.read_write ? CKR_TOKEN_WRITE_PROTECTED : CKR_SESSION_READ_ONLY;
}

// A new object: one of the token's needs a session that can write, and the token stores none of a session's.
CK_RV RefuseNewObject(Module& module, CK_SESSION_HANDLE session, std::span<const CK_ATTRIBUTE> attributes,
                      const void* handle) {
  const SessionInfo info = module.sessions().Info(session);
  RequirePointer(handle);
  return AsksForTokenObject(attributes, false) ? WriteRefusal(info) : CKR_TOKEN_WRITE_PROTECTED;
}

}  // namespace

extern "C" CK_RV C_InitToken(CK_SLOT_ID slotID, CK_BYTE_PTR pPin, CK_ULONG ulPinLen, CK_BYTE_PTR pLabel) {
  return WithModule("C_InitToken", [&](Module& module) -> CK_RV {
    module.directory().TokenAt(slotID);
    Input(pPin, ulPinLen);
    RequirePointer(pLabel);
    return module.sessions().Count(slotID) > 0 ? CKR_SESSION_EXISTS : CKR_TOKEN_WRITE_PROTECTED;
  });
}

extern "C" CK_RV C_InitPIN(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pPin, CK_ULONG ulPinLen) {
  return WithModule("C_InitPIN", [&](Module& module) -> CK_RV {
    module.sessions().Info(hSession);
    Input(pPin, ulPinLen);
    return CKR_USER_NOT_LOGGED_IN;  // the security officer never is
  });
}

extern "C" CK_RV C_SetPIN(CK_SESSION_HANDLE hSession, CK_BYTE_PTR pOldPin, CK_ULONG ulOldLen, CK_BYTE_PTR pNewPin,
                          CK_ULONG ulNewLen) {
  return WithModule("C_SetPIN", [&](Module& module) -> CK_RV {
    const SessionInfo info = module.sessions().Info(hSession);
    Input(pOldPin, ulOldLen);
    Input(pNewPin, ulNewLen);
    return WriteRefusal(info);
  });
}

extern "C" CK_RV C_CreateObject(CK_SESSION_HANDLE hSession, CK_ATTRIBUTE_PTR pTemplate, CK_ULONG ulCount,
                                CK_OBJECT_HANDLE_PTR phObject) {
  return WithModule("C_CreateObject", [&](Module& module) {
    return RefuseNewObject(module, hSession, Input(pTemplate, ulCount), phObject);
  });
}

extern "C" CK_RV C_CopyObject(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ATTRIBUTE_PTR pTemplate,
                              CK_ULONG ulCount, CK_OBJECT_HANDLE_PTR phNewObject) {
  return WithModule("C_CopyObject", [&](Module& module) -> CK_RV {
    VisibleObject(module, hSession, hObject);
    RequirePointer(phNewObject);
    // A copy of a token object is one too, unless the template says otherwise; CKA_COPYABLE is false.
    const bool token_object = AsksForTokenObject(Input(pTemplate, ulCount), true);
    return token_object ? WriteRefusal(module.sessions().Info(hSession)) : CKR_ACTION_PROHIBITED;
  });
}

extern "C" CK_RV C_DestroyObject(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject) {
  return WithModule("C_DestroyObject", [&](Module& module) -> CK_RV {
    VisibleObject(module, hSession, hObject);
    return WriteRefusal(module.sessions().Info(hSession));
  });
}

extern "C" CK_RV C_SetAttributeValue(CK_SESSION_HANDLE hSession, CK_OBJECT_HANDLE hObject, CK_ATTRIBUTE_PTR pTemplate,
                                     CK_ULONG ulCount) {
  return WithModule("C_SetAttributeValue", [&](Module& module) -> CK_RV {
    VisibleObject(module, hSession, hObject);
    Input(pTemplate, ulCount);
    return WriteRefusal(module.sessions().Info(hSession));
  });
}

extern "C" CK_RV C_GenerateKey(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism, CK_ATTRIBUTE_PTR pTemplate,
                               CK_ULONG ulCount, CK_OBJECT_HANDLE_PTR phKey) {
  return WithModule("C_GenerateKey", [&](Module& module) {
    RequirePointer(pMechanism);
    return RefuseNewObject(module, hSession, Input(pTemplate, ulCount), phKey);
  });
}

extern "C" CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE hSession, CK_MECHANISM_PTR pMechanism,
                                   CK_ATTRIBUTE_PTR pPublicKeyTemplate, CK_ULONG ulPublicKeyAttributeCount,
                                   CK_ATTRIBUTE_PTR pPrivateKeyTemplate, CK_ULONG ulPrivateKeyAttributeCount,
                                   CK_OBJECT_HANDLE_PTR phPublicKey, CK_OBJECT_HANDLE_PTR phPrivateKey) {
  return WithModule("C_GenerateKeyPair", [&](Module& module) {
    RequirePointer(pMechanism);
    RequirePointer(phPublicKey);
    const CK_RV rv =
        RefuseNewObject(module, hSession, Input(pPrivateKeyTemplate, ulPrivateKeyAttributeCount), phPrivateKey);
    const auto public_template = Input(pPublicKeyTemplate, ulPublicKeyAttributeCount);
    return AsksForTokenObject(public_template, false) ? WriteRefusal(module.sessions().Info(hSession)) : rv;
  });
}
