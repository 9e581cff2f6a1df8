// State of a connection, and what its owner does to it.
#include "signing/connection.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "addon_error.h"
#include "wire/frame.h"

namespace tlskeep {

Connection::Connection(const Service& service, ConnectionId id, UniqueFd fd)
    : service_(service), id_(id), fd_(std::move(fd)) {}

void Connection::Start() {
  epoll_event event{.events = EPOLLIN | EPOLLONESHOT, .data = {.u64 = id_}};
  if (epoll_ctl(service_.epoll, EPOLL_CTL_ADD, fd_.get(), &event) != 0) {
    throw AddonError::System("epoll_ctl", errno);
  }
}

bool Connection::MayRead() const {
  return out_.empty() && !with_owner_ && !paused_ && !ended_ && !closing_ && !broken_ && !destroyed_;
}

bool Connection::ArmOrClose() {
  if (broken_ || destroyed_ || (closing_ && out_.empty())) {
    if (!broken_ && !destroyed_) shutdown(fd_.get(), SHUT_WR);
    fd_.Reset();
    return true;
  }
  std::uint32_t wanted = EPOLLONESHOT;
  if (!out_.empty()) {
    wanted |= EPOLLOUT;
  } else if (MayRead()) {
    wanted |= EPOLLIN;
    // The frames that are here already make no event; that the socket takes bytes is one, behind those
    // of connections that wait for their turn.
    if (has_frames_) wanted |= EPOLLOUT;
  }
  epoll_event event{.events = wanted, .data = {.u64 = id_}};
  if (epoll_ctl(service_.epoll, EPOLL_CTL_MOD, fd_.get(), &event) == 0) return false;
  fd_.Reset();
  return true;
}

void Connection::Write(ByteView frame) {
  if (destroyed_ || broken_) return;
  if (out_.empty()) {
    const ssize_t sent = send(fd_.get(), frame.data(), frame.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) frame = frame.subspan(static_cast<std::size_t>(sent));
    if (sent < 0 && errno != EAGAIN && errno != EINTR) broken_ = true;
    if (broken_ || frame.empty()) return;
  }
  out_.insert(out_.end(), frame.begin(), frame.end());
}

void Connection::Flush() {
  if (out_.empty()) return;
  const ssize_t sent = send(fd_.get(), out_.data(), out_.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) {
    if (errno != EAGAIN && errno != EINTR) broken_ = true;
    return;
  }
  out_.erase(out_.begin(), out_.begin() + sent);
  if (out_.empty()) out_ = {};
}

template <typename Change>
void Connection::Apply(Change&& change) {
  bool closed = false;
  {
    const std::lock_guard lock(mutex_);
    if (!fd_.valid()) return;
    change();
    if (!serving_) closed = ArmOrClose();
  }
  if (closed) service_.owner.OnClosed(id_);
}

void Connection::Send(ByteView payload) {
  const auto header = FrameHeader(payload.size());
  Bytes frame(header.size() + payload.size());
  std::ranges::copy(payload, std::ranges::copy(header, frame.begin()).out);
  Apply([&] {
    if (!closing_) Write(frame);
  });
}

void Connection::Greet() {
  const std::lock_guard lock(mutex_);
  greeted_ = true;
}

void Connection::Prove(std::uint32_t gate) {
  const std::lock_guard lock(mutex_);
  const auto at = std::ranges::lower_bound(gates_, gate);
  if (at == gates_.end() || *at != gate) gates_.insert(at, gate);
}

void Connection::Consumed() {
  Apply([&] { with_owner_ = false; });
}

void Connection::Pause() {
  const std::lock_guard lock(mutex_);
  paused_ = true;
}

void Connection::Resume() {
  Apply([&] { paused_ = false; });
}

void Connection::Close() {
  Apply([&] { closing_ = true; });
}

void Connection::Abandon() {
  {
    const std::lock_guard lock(mutex_);
    serving_ = false;
  }
  Destroy();
}

void Connection::Destroy() {
  Apply([&] { destroyed_ = true; });
}

}  // namespace tlskeep
