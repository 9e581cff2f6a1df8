// All state of an initialized module, and who may use it: entry points hold a ModuleUse, C_Finalize waits
// for the last of them, a fork finds everything in order.
#pragma once

#include "client/client.h"
#include "crypto/libcrypto.h"
#include "session.h"
#include "settings.h"
#include "token_directory.h"

namespace tlskeep {

class Module {
 public:
  explicit Module(const Settings& settings);

  Libcrypto& libcrypto() { return libcrypto_; }
  TokenDirectory& directory() { return directory_; }
  SessionTable& sessions() { return sessions_; }

  // Proves a PIN to the enclave and remembers it. @throws Pkcs11Error
  void LogIn(CK_SESSION_HANDLE session, ByteView pin);
  void LogOut(CK_SESSION_HANDLE session);
  void CloseSession(CK_SESSION_HANDLE session);
  void CloseAllSessions(CK_SLOT_ID slot);
  // Has the enclave sign or decrypt. @throws Pkcs11Error
  Bytes UseKey(const KeyRequest& request);
  // Fills `output` with random bytes of the enclave's. @throws Pkcs11Error
  void Random(std::span<std::uint8_t> output);
  // The slot whose token has come, gone or changed since it was last reported; none without such an event,
  // or, with `wait`, when there is one.
  std::optional<CK_SLOT_ID> SlotEvent(bool wait);

  // Makes threads that wait for the enclave return with CKR_CRYPTOKI_NOT_INITIALIZED.
  void Cancel() noexcept;

  // Ends all sessions and connections; what is known of tokens and PINs stays. For when no one is inside.
  void Disown() noexcept;

  void LockForFork() noexcept;
  void UnlockInParent() noexcept;
  void ResetInChild() noexcept;

 private:
  Libcrypto libcrypto_;
  Canceller canceller_;
  Pool pool_;
  Client client_;
  TokenDirectory directory_;
  SessionTable sessions_;
};

// Keeps the module from being finalized while an entry point runs.
class ModuleUse {
 public:
  ModuleUse();  // @throws Pkcs11Error CKR_CRYPTOKI_NOT_INITIALIZED
  ~ModuleUse();
  ModuleUse(const ModuleUse&) = delete;
  ModuleUse& operator=(const ModuleUse&) = delete;

  Module& module() { return module_; }

 private:
  Module& module_;
};

// C_Initialize and C_Finalize, less their arguments. The first C_Initialize of a forked child is answered
// with CKR_OK and changes nothing: sessions, logins and handles are all there. Behind a C_Finalize of the
// child's they are not, but what its parent knew of slots, tokens and right PINs is.
// @throws Pkcs11Error CKR_CRYPTOKI_ALREADY_INITIALIZED or CKR_CRYPTOKI_NOT_INITIALIZED
void InitializeModule();
void FinalizeModule();

}  // namespace tlskeep
