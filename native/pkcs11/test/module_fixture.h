// Loads the built module as a consumer does, points it at a fake enclave, and shortens common calls.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "cryptoki.h"
#include "fake_enclave.h"

namespace tlskeep::test {

inline constexpr char kLabel[] = "web";
inline constexpr char kPin[] = "123456";

// The module, loaded by dlopen and unloaded in the end.
class LoadedModule {
 public:
  LoadedModule();
  ~LoadedModule();
  LoadedModule(const LoadedModule&) = delete;
  LoadedModule& operator=(const LoadedModule&) = delete;

  CK_FUNCTION_LIST* operator->() const { return functions_; }
  void* Symbol(const char* name) const;  // null if it is not exported

 private:
  void* handle_;
  CK_FUNCTION_LIST* functions_ = nullptr;
};

// A temporary directory with a socket path in it, removed in the end.
class SocketDirectory {
 public:
  SocketDirectory();
  ~SocketDirectory();
  std::string socket() const { return path_ + "/enclave.sock"; }
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// An enclave with one token (kLabel, kPin, P-256), and the module initialized with short deadlines.
class ModuleTest : public testing::Test {
 protected:
  static constexpr std::chrono::milliseconds kDeadline{1500};
  static constexpr std::chrono::milliseconds kListDeadline{400};

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
