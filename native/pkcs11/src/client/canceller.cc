// Waits with poll() on the descriptor of interest and on the cancelling one.
#include "client/canceller.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "client/deadline.h"
#include "error.h"

namespace tlskeep {

Canceller::Canceller() : event_fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (event_fd_ < 0) throw std::system_error(errno, std::generic_category(), "eventfd");
}

Canceller::~Canceller() {
  if (event_fd_ >= 0) close(event_fd_);
}

void Canceller::Cancel() noexcept {
  cancelled_ = true;
  if (event_fd_ >= 0) {
    const eventfd_t one = 1;
    eventfd_write(event_fd_, one);
  }
}

void Canceller::Check() const {
  if (cancelled_) throw Pkcs11Error(CKR_CRYPTOKI_NOT_INITIALIZED, "the module is being finalized");
}

void Canceller::Sleep(std::chrono::milliseconds duration) const { Poll(-1, 0, duration); }

bool Canceller::Poll(int fd, short events, std::chrono::milliseconds timeout) const {
  const Deadline deadline = Deadline::In(timeout);
  for (;;) {
    Check();
    pollfd descriptors[] = {{fd, events, 0}, {event_fd_, POLLIN, 0}};
    const auto wait = std::min<std::chrono::milliseconds::rep>(deadline.Remaining().count(), 60'000);
    const int ready = poll(descriptors, 2, static_cast<int>(wait));
    if (ready < 0 && errno != EINTR) throw std::system_error(errno, std::generic_category(), "poll");
    if (ready > 0 && descriptors[0].revents != 0) return true;
    if (ready <= 0 && deadline.Passed()) return false;
  }
}

void Canceller::Renew() noexcept {
  if (event_fd_ >= 0) close(event_fd_);
  // Without a descriptor (-1, which poll() ignores) waits end at their deadlines only.
  event_fd_ = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  cancelled_ = false;
}

}  // namespace tlskeep
