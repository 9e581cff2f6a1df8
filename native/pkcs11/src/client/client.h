// What the token module asks of the enclave, with retries: each request is idempotent, so a broken
// connection, a busy service or an enclave that is not provisioned yet costs time, not an error.
#pragma once

#include <atomic>
#include <functional>
#include <optional>

#include "client/messages.h"
#include "client/pool.h"
#include "wire/transport_error.h"

namespace tlskeep {

struct Listing {
  std::uint64_t generation;
  std::vector<ListedToken> tokens;  // in the order of their labels' bytes
};

class Client {
 public:
  // `deadline`: how long Prove, UseKey and Random may take, retries included.
  Client(Pool& pool, const Canceller& canceller, std::chrono::milliseconds deadline)
      : pool_(pool), canceller_(canceller), operation_time_(deadline) {}

  struct Login {
    Secret pin;
    SteadyClock::time_point last_listed;  // when the token was last seen in a listing
  };
  // Tells how to log in to a request's token; nothing if the user has logged out.
  using LoginSource = std::function<std::optional<Login>(const KeyRequest& request)>;

  // Nothing if the service cannot be reached before the deadline. With `retry` false, one try.
  std::optional<std::uint64_t> Generation(Deadline deadline, bool retry);
  std::optional<Listing> List(Deadline deadline, bool retry);

  // Proves a PIN of the token in `slot`.
  // @throws Pkcs11Error with the CK_RV of the service's refusal, or CKR_DEVICE_ERROR at the deadline.
  void Prove(CK_SLOT_ID slot, std::string_view label, const Login& login);

  // Signs or decrypts, in one round trip on a connection that has proved the PIN.
  // @throws Pkcs11Error as Prove does; CKR_USER_NOT_LOGGED_IN if there is no PIN, or it is no longer right.
  Bytes UseKey(const KeyRequest& request, const LoginSource& login_of);

  // `size` random bytes of the enclave's, 1 to kLargestRandom. @throws Pkcs11Error as Prove does
  Bytes Random(std::size_t size);

 private:
  // A refusal that may pass by itself. Carries what to answer if it does not before the deadline.
  struct TryAgain {
    CK_RV rv;
    const char* what;
  };
  // Runs `attempt` on leased connections until it returns. No try begins after `last_try`, each has to
  // end by `deadline`.
  template <typename Attempt>
  auto WithRetries(Deadline last_try, Deadline deadline, Attempt&& attempt);
  template <typename Result, typename Attempt>
  std::optional<Result> Ask(Deadline deadline, bool retry, Attempt&& attempt);
  void Prove(Connection& connection, CK_SLOT_ID slot, std::string_view label, const Login& login, Deadline deadline);
  void NoteFailure(const TransportError& error) noexcept;
  void NoteSuccess() noexcept;

  Pool& pool_;
  const Canceller& canceller_;
  const std::chrono::milliseconds operation_time_;
  std::atomic<bool> failing_ = false;
  std::atomic<SteadyClock::rep> failed_at_ = 0;
};

}  // namespace tlskeep
