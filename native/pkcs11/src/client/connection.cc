// Non-blocking socket input and output with a deadline.
#include "client/connection.h"

#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "client/transport_error.h"

namespace tlskeep {
namespace {

// One read takes a whole RSA or ECDSA answer; larger frames take more.
constexpr std::size_t kReadBytes = 4096;
constexpr std::size_t kLongestGreeting = 64;

[[noreturn]] void Fail(const char* what, int error) {
  throw TransportError(std::string(what) + ": " + std::generic_category().message(error));
}

}  // namespace

Connection::Connection(SocketTable& sockets, const Canceller& canceller, const Address& address,
                       Deadline deadline)
    : sockets_(sockets), canceller_(canceller), opened_(SteadyClock::now()) {
  try {
    Connect(address, deadline);
    const std::uint32_t id = NextId();
    const Answer answer = Exchange(id, HelloFrame(id), deadline);
    if (answer.status.status != Status::kOk || UnsignedResult(answer) != kProtocolVersion) {
      throw TransportError("the service does not speak version 1 of the protocol");
    }
  } catch (...) {
    sockets_.Close(fd_);
    throw;
  }
}

Connection::~Connection() { sockets_.Close(fd_); }

void Connection::Connect(const Address& address, Deadline deadline) {
  if (const auto* vsock = std::get_if<VsockAddress>(&address)) {
    fd_ = sockets_.Open(AF_VSOCK);
    sockaddr_vm name{};
    name.svm_family = AF_VSOCK;
    name.svm_cid = vsock->cid;
    name.svm_port = vsock->port;
    ConnectSocket(&name, sizeof name, deadline);
    return;
  }
  const auto* hybrid = std::get_if<HybridAddress>(&address);
  const std::string& path = hybrid != nullptr ? hybrid->path : std::get<UnixAddress>(address).path;
  fd_ = sockets_.Open(AF_UNIX);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path.data(), std::min(path.size(), sizeof name.sun_path - 1));
  ConnectSocket(&name, sizeof name, deadline);
  if (hybrid != nullptr) AskForPort(hybrid->port, deadline);
}

void Connection::ConnectSocket(const void* address, std::size_t size, Deadline deadline) {
  if (connect(fd_, static_cast<const sockaddr*>(address), static_cast<socklen_t>(size)) == 0) return;
  // A Unix socket whose backlog is full says EAGAIN: nothing is under way, the caller tries again.
  if (errno != EINPROGRESS && errno != EINTR) Fail("connect", errno);
  if (!canceller_.Poll(fd_, POLLOUT, deadline.Remaining())) throw TransportError("connect: timed out");
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) != 0) Fail("getsockopt", errno);
  if (error != 0) Fail("connect", error);
}

void Connection::AskForPort(std::uint32_t port, Deadline deadline) {
  Send(AsBytes("CONNECT " + std::to_string(port) + "\n"), deadline);
  for (std::size_t size = 1; size <= kLongestGreeting; ++size) {
    Receive(size, deadline);
    if (received_[size - 1] != '\n') continue;
    if (!AsText({received_.data(), size}).starts_with("OK ")) break;
    start_ = size;
    return;
  }
  throw TransportError("the multiplexer refused the port");
}

void Connection::Send(ByteView bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
      if (!canceller_.Poll(fd_, POLLOUT, deadline.Remaining())) throw TransportError("send: timed out");
    } else if (errno != EINTR) {
      Fail("send", errno);
    }
  }
}

void Connection::Receive(std::size_t size, Deadline deadline) {
  while (received_.size() - start_ < size) {
    // Grows with what has arrived, never by what was announced.
    const std::size_t before = received_.size();
    received_.resize(before + kReadBytes);
    const ssize_t got = recv(fd_, received_.data() + before, kReadBytes, 0);
    const int error = errno;
    received_.resize(before + (got > 0 ? static_cast<std::size_t>(got) : 0));
    if (got == 0) throw TransportError("the service closed the connection");
    if (got > 0 || error == EINTR) continue;
    if (error != EAGAIN && error != EWOULDBLOCK) Fail("receive", error);
    if (!canceller_.Poll(fd_, POLLIN, deadline.Remaining())) throw TransportError("receive: timed out");
  }
}

Answer Connection::Exchange(std::uint32_t id, ByteView frame, Deadline deadline) {
  received_.erase(received_.begin(), received_.begin() + static_cast<std::ptrdiff_t>(start_));
  start_ = 0;
  Send(frame, deadline);
  Receive(kFrameHeaderBytes, deadline);
  const std::size_t size = std::size_t{received_[0]} << 24 | std::size_t{received_[1]} << 16 |
                           std::size_t{received_[2]} << 8 | std::size_t{received_[3]};
  if (size == 0 || size > kLargestFrame) throw TransportError("malformed answer: frame of a wrong length");
  Receive(kFrameHeaderBytes + size, deadline);
  start_ = kFrameHeaderBytes + size;
  const Answer answer = OpenAnswer({received_.data() + kFrameHeaderBytes, size});
  // One request is in flight at a time: an answer to another one (0: to no readable request) is a fault.
  if (answer.id != id) throw TransportError("malformed answer: to another request");
  return answer;
}

bool Connection::LoggedIn(std::string_view label) const {
  return std::find(logged_in_.begin(), logged_in_.end(), label) != logged_in_.end();
}

void Connection::SetLoggedIn(std::string_view label, bool logged_in) {
  std::erase(logged_in_, label);
  if (logged_in) logged_in_.emplace_back(label);
}

}  // namespace tlskeep
