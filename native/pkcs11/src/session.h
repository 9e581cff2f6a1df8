// Sessions, and the login state that all sessions of a token share.
//
// One lock guards them all and is held for moments only: an operation is taken out of its session while it
// works. So a fork finds every session whole, and in the child an operation that another thread of the
// parent was working on has simply ended.
#pragma once

#include <array>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cryptoki.h"
#include "operation/operation.h"
#include "secret.h"

namespace tlskeep {

struct Search {
  std::vector<CK_OBJECT_HANDLE> found;
  std::size_t next = 0;
};

struct SessionInfo {
  CK_SLOT_ID slot;
  bool logged_in;
  bool read_write;
};

class SessionTable {
 public:
  CK_SESSION_HANDLE Open(CK_SLOT_ID slot, bool read_write);
  // These return whether a login ended with the last session (PKCS #11 v2.40 base, C_CloseSession).
  bool Close(CK_SESSION_HANDLE handle);  // @throws Pkcs11Error CKR_SESSION_HANDLE_INVALID, as all with a handle
  bool CloseAll(CK_SLOT_ID slot);
  SessionInfo Info(CK_SESSION_HANDLE handle) const;
  // The same for an operation that is to start. @throws Pkcs11Error CKR_OPERATION_ACTIVE
  SessionInfo InfoToStart(CK_SESSION_HANDLE handle, OperationKind kind) const;
  std::size_t Count(CK_SLOT_ID slot) const;
  std::size_t CountReadWrite(CK_SLOT_ID slot) const;

  // Remembers a PIN that the enclave has accepted. @throws Pkcs11Error CKR_USER_ALREADY_LOGGED_IN
  void LogIn(CK_SESSION_HANDLE handle, const std::string& label, Secret pin);
  void LogOut(CK_SESSION_HANDLE handle);  // @throws Pkcs11Error CKR_USER_NOT_LOGGED_IN
  // Whether C_Login has nothing to do but to say so: true if logged in. In a forked child that has called
  // C_Initialize, the first C_Login with the inherited PIN counts as its own, also behind Disown.
  bool AlreadyLoggedIn(CK_SESSION_HANDLE handle, ByteView pin, bool& adopted);
  std::optional<Secret> PinOf(std::string_view label) const;
  // The PIN has turned out to be wrong.
  void ForgetPinOf(std::string_view label);
  void MarkLoginsInherited();
  // Ends all sessions and logins, and keeps the PINs for AlreadyLoggedIn to know them by.
  void Disown() noexcept;

  // @throws Pkcs11Error CKR_OPERATION_ACTIVE, CKR_OPERATION_NOT_INITIALIZED
  void StartSearch(CK_SESSION_HANDLE handle, std::vector<CK_OBJECT_HANDLE> found);
  void RequireNoSearch(CK_SESSION_HANDLE handle) const;
  std::vector<CK_OBJECT_HANDLE> NextFound(CK_SESSION_HANDLE handle, std::size_t most);
  void EndSearch(CK_SESSION_HANDLE handle);

  // One operation of each kind may be active in a session.
  void RequireNone(CK_SESSION_HANDLE handle, OperationKind kind) const;
  void Start(CK_SESSION_HANDLE handle, OperationKind kind, std::unique_ptr<Operation> operation);
  std::unique_ptr<Operation> Take(CK_SESSION_HANDLE handle, OperationKind kind);
  // Puts an operation back, unless the session has gone or has a new one.
  void Keep(CK_SESSION_HANDLE handle, OperationKind kind, std::unique_ptr<Operation> operation) noexcept;
  // Ends an operation; false if there is none.
  bool Cancel(CK_SESSION_HANDLE handle, OperationKind kind);
  bool CancelSearch(CK_SESSION_HANDLE handle);
  // Whether an operation or a search is active.
  bool AnyActive(CK_SESSION_HANDLE handle) const;

  void LockForFork() noexcept { mutex_.lock(); }
  void UnlockInParent() noexcept { mutex_.unlock(); }
  void ResetInChild() noexcept;

 private:
  struct Session {
    CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;  // of an open session
    CK_SLOT_ID slot = 0;
    std::array<std::unique_ptr<Operation>, kOperationKinds> operations;
    bool read_write = false;
    std::optional<Search> search;
  };
  // So that what a signature looks at is one cache line: with a thousand sessions, each further one is a miss. In
  // the table alone, since compilers fall short of aligning what lies on a stack so widely.
  struct alignas(64) AlignedSession : Session {};
  struct Login {
    std::string label;
    Secret pin;
    bool inherited = false;
  };

  struct LoginState {
    std::unique_ptr<Login> login;
    std::unique_ptr<Login> disowned;
  };

  // Null if it is not open.
  Session* Find(CK_SESSION_HANDLE handle);
  Session& At(CK_SESSION_HANDLE handle);
  const Session& At(CK_SESSION_HANDLE handle) const;
  void End(Session& session) noexcept;
  static bool IsOpenOn(const Session& session, CK_SLOT_ID slot) {
    return session.handle != CK_INVALID_HANDLE && session.slot == slot;
  }
  bool LoggedIn(CK_SLOT_ID slot) const;
  bool EndLogin(CK_SLOT_ID slot);
  bool LogOutIfLast(CK_SLOT_ID slot);

  mutable std::mutex mutex_;
  // A handle is the place of its session, counted from one, in its lower half; in the upper half, how many sessions
  // have been at this place before, so that a handle comes again after 2^32 of them.
  std::vector<AlignedSession> sessions_;
  std::vector<CK_SESSION_HANDLE> closed_;  // handles whose places are free; has room for all
  std::vector<LoginState> logins_;  // by slot; may end before a slot that nobody has logged in to
};

// Holds an operation of a session while an entry point works on it. Every exit ends the operation, except
// after Keep().
class OperationScope {
 public:
  // @throws Pkcs11Error CKR_SESSION_HANDLE_INVALID, CKR_OPERATION_NOT_INITIALIZED
  OperationScope(SessionTable& sessions, CK_SESSION_HANDLE handle, OperationKind kind)
      : sessions_(sessions), handle_(handle), kind_(kind), operation_(sessions.Take(handle, kind)) {}
  OperationScope(const OperationScope&) = delete;
  OperationScope& operator=(const OperationScope&) = delete;

  Operation& operator*() { return *operation_; }
  Operation* operator->() { return operation_.get(); }
  void Keep() noexcept { sessions_.Keep(handle_, kind_, std::move(operation_)); }

 private:
  SessionTable& sessions_;
  CK_SESSION_HANDLE handle_;
  OperationKind kind_;
  std::unique_ptr<Operation> operation_;
};

}  // namespace tlskeep
