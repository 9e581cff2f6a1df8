// Points the loaded module at a fake enclave, and shortens common calls.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cryptoki.h"
#include "fake_enclave.h"
#include "loaded_module.h"

namespace tlskeep::test {

inline constexpr char kLabel[] = "web";
inline constexpr char kPin[] = "123456";

// An enclave with one token (kLabel, kPin, P-256), and the module initialized with short deadlines.
class ModuleTest : public testing::Test {
 protected:
  // Times $TLSKEEP_TEST_SLOWNESS, 1 or more, for an emulator or a machine with much else to do.
  static const std::chrono::milliseconds kDeadline;      // 1500 ms
  static const std::chrono::milliseconds kListDeadline;  // 400 ms

  ModuleTest();
  ~ModuleTest() override;

  void StartEnclave(KeyKind kind = KeyKind::kP256);
  void Initialize();  // C_Initialize, which must succeed
  CK_SLOT_ID FirstSlot();
  CK_SESSION_HANDLE OpenSession();
  CK_SESSION_HANDLE LogIn();  // a new session, logged in
  std::vector<CK_OBJECT_HANDLE> Find(CK_SESSION_HANDLE session, std::vector<CK_ATTRIBUTE> wanted = {});
  CK_OBJECT_HANDLE FindOne(CK_SESSION_HANDLE session, CK_OBJECT_CLASS object_class);
  Bytes Attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type);
  CK_RV SignInit(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, CK_MECHANISM_TYPE type,
                 const CK_RSA_PKCS_PSS_PARAMS* pss = nullptr);
  // One C_Sign into a buffer that fits; empties `signature` on failure.
  CK_RV Sign(CK_SESSION_HANDLE session, ByteView data, Bytes& signature);
  // C_SignInit and C_Sign of a fixed digest with CKM_ECDSA, and a check of the signature.
  CK_RV SignEcdsaOnce(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, const Key& verifier);

  static const Bytes& Digest32();

  SocketDirectory directory_;
  std::unique_ptr<FakeEnclave> enclave_;
  Key key_;  // the token's
  LoadedModule module_;
};

inline CK_ATTRIBUTE ClassIs(const CK_OBJECT_CLASS& object_class) {
  return {CKA_CLASS, const_cast<CK_OBJECT_CLASS*>(&object_class), sizeof object_class};
}

inline CK_ATTRIBUTE LabelIs(std::string_view label) {
  return {CKA_LABEL, const_cast<char*>(label.data()), label.size()};
}

}  // namespace tlskeep::test
