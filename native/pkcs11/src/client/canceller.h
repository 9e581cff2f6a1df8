// Lets C_Finalize end what other threads wait for: a flag, and a descriptor for poll().
#pragma once

#include <atomic>
#include <chrono>

namespace tlskeep {

class Canceller {
 public:
  Canceller();  // @throws std::system_error without a descriptor
  ~Canceller();
  Canceller(const Canceller&) = delete;
  Canceller& operator=(const Canceller&) = delete;

  void Cancel() noexcept;
  // @throws Pkcs11Error CKR_CRYPTOKI_NOT_INITIALIZED once cancelled.
  void Check() const;
  // Sleeps, or throws as Check() does.
  void Sleep(std::chrono::milliseconds duration) const;
  // Waits for `events` on `fd`: true if there are some, false when `timeout` has passed; throws as
  // Check() does.
  bool Poll(int fd, short events, std::chrono::milliseconds timeout) const;

  // The descriptor is shared over fork(): a child that finalizes must not wake its parent.
  void Renew() noexcept;

 private:
  std::atomic<bool> cancelled_ = false;
  int event_fd_;
};

}  // namespace tlskeep
