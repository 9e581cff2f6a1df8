// Keeps sessions and logins.
#include "session.h"

#include <algorithm>
#include <utility>

#include "error.h"

namespace tlskeep {
namespace {

static_assert(sizeof(CK_SESSION_HANDLE) == 8, "a handle has room for a place and a count");
constexpr CK_SESSION_HANDLE kNextAtThisPlace = CK_SESSION_HANDLE{1} << 32;

// Beyond all places for CK_INVALID_HANDLE.
constexpr std::size_t PlaceOf(CK_SESSION_HANDLE handle) { return (handle & (kNextAtThisPlace - 1)) - 1; }

}  // namespace

CK_SESSION_HANDLE SessionTable::Open(CK_SLOT_ID slot, bool read_write) {
  const std::lock_guard lock(mutex_);
  CK_SESSION_HANDLE handle = CK_INVALID_HANDLE;
  if (closed_.empty()) {
    if (closed_.capacity() <= sessions_.size()) closed_.reserve(2 * sessions_.size() + 1);
    sessions_.emplace_back();
    handle = sessions_.size();
  } else {
    handle = closed_.back() + kNextAtThisPlace;
    closed_.pop_back();
  }
  Session& session = sessions_[PlaceOf(handle)];
  session.handle = handle;
  session.slot = slot;
  session.read_write = read_write;
  return handle;
}

SessionTable::Session* SessionTable::Find(CK_SESSION_HANDLE handle) {
  const std::size_t place = PlaceOf(handle);
  return place < sessions_.size() && sessions_[place].handle == handle ? &sessions_[place] : nullptr;
}

SessionTable::Session& SessionTable::At(CK_SESSION_HANDLE handle) {
  Session* const session = Find(handle);
  if (session == nullptr) throw Pkcs11Error(CKR_SESSION_HANDLE_INVALID, "no such session");
  return *session;
}

void SessionTable::End(Session& session) noexcept {
  closed_.push_back(session.handle);
  session = {};
}

const SessionTable::Session& SessionTable::At(CK_SESSION_HANDLE handle) const {
  return const_cast<SessionTable*>(this)->At(handle);
}

bool SessionTable::LoggedIn(CK_SLOT_ID slot) const { return slot < logins_.size() && logins_[slot].login != nullptr; }

bool SessionTable::EndLogin(CK_SLOT_ID slot) {
  const bool logged_in = LoggedIn(slot);
  if (logged_in) logins_[slot].login.reset();
  return logged_in;
}

bool SessionTable::LogOutIfLast(CK_SLOT_ID slot) {
  const bool open = std::any_of(sessions_.begin(), sessions_.end(),
                                [slot](const Session& session) { return IsOpenOn(session, slot); });
  return !open && EndLogin(slot);
}

bool SessionTable::Close(CK_SESSION_HANDLE handle) {
  const std::lock_guard lock(mutex_);
  Session& session = At(handle);
  const CK_SLOT_ID slot = session.slot;
  End(session);
  return LogOutIfLast(slot);
}

bool SessionTable::CloseAll(CK_SLOT_ID slot) {
  const std::lock_guard lock(mutex_);
  for (Session& session : sessions_) {
    if (IsOpenOn(session, slot)) End(session);
  }
  return LogOutIfLast(slot);
}

SessionInfo SessionTable::Info(CK_SESSION_HANDLE handle) const {
  const std::lock_guard lock(mutex_);
  const Session& session = At(handle);
  return {session.slot, LoggedIn(session.slot), session.read_write};
}

SessionInfo SessionTable::InfoToStart(CK_SESSION_HANDLE handle, OperationKind kind) const {
  const std::lock_guard lock(mutex_);
  const Session& session = At(handle);
  if (session.operations[Index(kind)] != nullptr) throw Pkcs11Error(CKR_OPERATION_ACTIVE, "one is active");
  return {session.slot, LoggedIn(session.slot), session.read_write};
}

std::size_t SessionTable::Count(CK_SLOT_ID slot) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::count_if(
      sessions_.begin(), sessions_.end(), [slot](const Session& session) { return IsOpenOn(session, slot); }));
}

std::size_t SessionTable::CountReadWrite(CK_SLOT_ID slot) const {
  const std::lock_guard lock(mutex_);
  return static_cast<std::size_t>(std::count_if(sessions_.begin(), sessions_.end(), [slot](const Session& session) {
    return IsOpenOn(session, slot) && session.read_write;
  }));
}

void SessionTable::LogIn(CK_SESSION_HANDLE handle, const std::string& label, Secret pin) {
  auto login = std::make_unique<Login>(Login{label, std::move(pin)});
  const std::lock_guard lock(mutex_);
  const CK_SLOT_ID slot = At(handle).slot;
  if (slot >= logins_.size()) logins_.resize(slot + 1);
  logins_[slot].disowned.reset();
  if (logins_[slot].login != nullptr) throw Pkcs11Error(CKR_USER_ALREADY_LOGGED_IN, "logged in meanwhile");
  logins_[slot].login = std::move(login);
}

void SessionTable::LogOut(CK_SESSION_HANDLE handle) {
  const std::lock_guard lock(mutex_);
  if (!EndLogin(At(handle).slot)) throw Pkcs11Error(CKR_USER_NOT_LOGGED_IN, "not logged in");
}

bool SessionTable::AlreadyLoggedIn(CK_SESSION_HANDLE handle, ByteView pin, bool& adopted) {
  const std::lock_guard lock(mutex_);
  const CK_SLOT_ID slot = At(handle).slot;
  adopted = false;
  if (slot >= logins_.size()) return false;
  auto& [login, disowned] = logins_[slot];
  if (login == nullptr) {
    adopted = disowned != nullptr && disowned->pin.Equals(pin);
    if (!adopted) return false;
    disowned->inherited = false;
    login = std::move(disowned);
    return true;
  }
  if (login->inherited && login->pin.Equals(pin)) {
    login->inherited = false;
    adopted = true;
  }
  return true;
}

std::optional<Secret> SessionTable::PinOf(std::string_view label) const {
  const std::lock_guard lock(mutex_);
  for (const auto& [login, disowned] : logins_) {
    if (login != nullptr && login->label == label) return Secret(login->pin.view());
  }
  return std::nullopt;
}

void SessionTable::ForgetPinOf(std::string_view label) {
  const std::lock_guard lock(mutex_);
  for (auto& [login, disowned] : logins_) {
    if (login != nullptr && login->label == label) login.reset();
    if (disowned != nullptr && disowned->label == label) disowned.reset();
  }
}

void SessionTable::MarkLoginsInherited() {
  const std::lock_guard lock(mutex_);
  for (auto& [login, disowned] : logins_) {
    if (login != nullptr) login->inherited = true;
  }
}

void SessionTable::Disown() noexcept {
  const std::lock_guard lock(mutex_);
  for (Session& session : sessions_) {
    if (session.handle != CK_INVALID_HANDLE) End(session);
  }
  // Those that an ancestor disowned and nobody has used since stay good.
  for (auto& [login, disowned] : logins_) {
    if (login != nullptr) disowned = std::move(login);
  }
}

void SessionTable::RequireNoSearch(CK_SESSION_HANDLE handle) const {
  const std::lock_guard lock(mutex_);
  if (At(handle).search) throw Pkcs11Error(CKR_OPERATION_ACTIVE, "a search is active");
}

void SessionTable::StartSearch(CK_SESSION_HANDLE handle, std::vector<CK_OBJECT_HANDLE> found) {
  const std::lock_guard lock(mutex_);
  Session& session = At(handle);
  if (session.search) throw Pkcs11Error(CKR_OPERATION_ACTIVE, "a search is active");
  session.search = Search{std::move(found)};
}

std::vector<CK_OBJECT_HANDLE> SessionTable::NextFound(CK_SESSION_HANDLE handle, std::size_t most) {
  const std::lock_guard lock(mutex_);
  Session& session = At(handle);
  if (!session.search) throw Pkcs11Error(CKR_OPERATION_NOT_INITIALIZED, "no search is active");
  Search& search = *session.search;
  const std::size_t count = std::min(most, search.found.size() - search.next);
  const auto begin = search.found.begin() + static_cast<std::ptrdiff_t>(search.next);
  search.next += count;
  return {begin, begin + static_cast<std::ptrdiff_t>(count)};
}

void SessionTable::EndSearch(CK_SESSION_HANDLE handle) {
  const std::lock_guard lock(mutex_);
  Session& session = At(handle);
  if (!session.search) throw Pkcs11Error(CKR_OPERATION_NOT_INITIALIZED, "no search is active");
  session.search.reset();
}

void SessionTable::RequireNone(CK_SESSION_HANDLE handle, OperationKind kind) const {
  const std::lock_guard lock(mutex_);
  if (At(handle).operations[Index(kind)] != nullptr) throw Pkcs11Error(CKR_OPERATION_ACTIVE, "one is active");
}

void SessionTable::Start(CK_SESSION_HANDLE handle, OperationKind kind, std::unique_ptr<Operation> operation) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Operation>& active = At(handle).operations[Index(kind)];
  if (active != nullptr) throw Pkcs11Error(CKR_OPERATION_ACTIVE, "one is active");
  active = std::move(operation);
}

std::unique_ptr<Operation> SessionTable::Take(CK_SESSION_HANDLE handle, OperationKind kind) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Operation>& active = At(handle).operations[Index(kind)];
  if (active == nullptr) throw Pkcs11Error(CKR_OPERATION_NOT_INITIALIZED, "none is active");
  return std::move(active);
}

void SessionTable::Keep(CK_SESSION_HANDLE handle, OperationKind kind, std::unique_ptr<Operation> operation) noexcept {
  const std::lock_guard lock(mutex_);
  Session* const session = Find(handle);
  if (session == nullptr) return;
  std::unique_ptr<Operation>& active = session->operations[Index(kind)];
  if (active == nullptr) active = std::move(operation);
}

bool SessionTable::Cancel(CK_SESSION_HANDLE handle, OperationKind kind) {
  const std::lock_guard lock(mutex_);
  std::unique_ptr<Operation>& active = At(handle).operations[Index(kind)];
  const bool was_active = active != nullptr;
  active.reset();
  return was_active;
}

bool SessionTable::CancelSearch(CK_SESSION_HANDLE handle) {
  const std::lock_guard lock(mutex_);
  Session& session = At(handle);
  const bool was_active = session.search.has_value();
  session.search.reset();
  return was_active;
}

bool SessionTable::AnyActive(CK_SESSION_HANDLE handle) const {
  const std::lock_guard lock(mutex_);
  const Session& session = At(handle);
  return session.search.has_value() ||
         std::any_of(session.operations.begin(), session.operations.end(),
                     [](const std::unique_ptr<Operation>& operation) { return operation != nullptr; });
}

void SessionTable::ResetInChild() noexcept {
  for (auto& [login, disowned] : logins_) {
    if (login != nullptr) login->pin.LockAgain();
    if (disowned != nullptr) disowned->pin.LockAgain();
  }
  mutex_.unlock();
}

}  // namespace tlskeep
