// Puts the parts together and in the order in which a fork locks them.
#include "module.h"

#include "error.h"

namespace tlskeep {
namespace {

// How often C_WaitForSlotEvent asks the enclave.
constexpr std::chrono::seconds kEventPause{1};

}  // namespace

Module::Module(const Settings& settings)
    : pool_(Endpoint(settings.endpoint, settings.endpoint_file), canceller_),
      client_(pool_, canceller_, settings.deadline),
      directory_(client_, libcrypto_, canceller_, settings.list_deadline) {}

void Module::LogIn(CK_SESSION_HANDLE session, ByteView pin) {
  bool adopted = false;
  if (sessions_.AlreadyLoggedIn(session, pin, adopted)) {
    if (adopted) return;
    throw Pkcs11Error(CKR_USER_ALREADY_LOGGED_IN, "already logged in");
  }
  if (pin.size() < kShortestPin || pin.size() > kLongestPin || !IsUtf8(pin)) {
    throw Pkcs11Error(CKR_PIN_INCORRECT, "no PIN that a token can have");
  }
  const CK_SLOT_ID id = sessions_.Info(session).slot;
  const Slot slot = directory_.SlotAt(id);
  Client::Login login{Secret(pin), slot.last_listed};
  client_.Prove(id, slot.label, login);
  sessions_.LogIn(session, slot.label, std::move(login.pin));
}

void Module::LogOut(CK_SESSION_HANDLE session) {
  sessions_.LogOut(session);
  // Connections that have proved the PIN would still be good for signatures.
  pool_.CloseAll();
}

void Module::CloseSession(CK_SESSION_HANDLE session) {
  if (sessions_.Close(session)) pool_.CloseAll();
}

void Module::CloseAllSessions(CK_SLOT_ID slot) {
  if (sessions_.CloseAll(slot)) pool_.CloseAll();
}

Bytes Module::UseKey(const KeyRequest& request) {
  const auto login_of = [this](const KeyRequest& key) -> std::optional<Client::Login> {
    std::optional<Secret> pin = sessions_.PinOf(key.label);
    if (!pin) return std::nullopt;
    return Client::Login{*std::move(pin), directory_.LastListed(key.slot)};
  };
  try {
    return client_.UseKey(request, login_of);
  } catch (const Pkcs11Error& error) {
    if (error.rv() == CKR_USER_NOT_LOGGED_IN) sessions_.ForgetPinOf(request.label);
    throw;
  }
}

void Module::Random(std::span<std::uint8_t> output) {
  while (!output.empty()) {
    const Bytes random = client_.Random(std::min(output.size(), kLargestRandom));
    std::copy(random.begin(), random.end(), output.begin());
    output = output.subspan(random.size());
  }
}

std::optional<CK_SLOT_ID> Module::SlotEvent(bool wait) {
  for (;;) {
    directory_.Refresh();
    const std::optional<CK_SLOT_ID> slot = directory_.TakeEvent();
    if (slot || !wait) return slot;
    canceller_.Sleep(kEventPause);
  }
}

void Module::Cancel() noexcept {
  canceller_.Cancel();
  pool_.WakeAll();
}

void Module::Disown() noexcept {
  sessions_.Disown();
  pool_.CloseAll();
  canceller_.Renew();
}

void Module::LockForFork() noexcept {
  directory_.LockForFork();
  sessions_.LockForFork();
  libcrypto_.LockForFork();
  pool_.LockForFork();
}

void Module::UnlockInParent() noexcept {
  pool_.UnlockInParent();
  libcrypto_.UnlockAfterFork();
  sessions_.UnlockInParent();
  directory_.UnlockInParent();
}

void Module::ResetInChild() noexcept {
  canceller_.Renew();
  pool_.ResetInChild();
  libcrypto_.UnlockAfterFork();
  sessions_.ResetInChild();
  directory_.ResetInChild();
}

}  // namespace tlskeep
