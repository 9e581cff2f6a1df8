// Non-blocking socket input and output with a deadline: an exchange sends, waits and reads, a system call each.
#include "client/connection.h"

#include <linux/vm_sockets.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

#include "wire/transport_error.h"

namespace tlskeep {
namespace {

// What poll() is asked to wait at a time: the longest for C_Finalize, should shutting a socket down not end a wait.
constexpr std::chrono::milliseconds kLongestWait{1000};
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
    const ByteView line = Receive(size, deadline).first(size);
    if (line.back() != '\n') continue;
    if (!AsText(line).starts_with("OK ")) break;
    received_.Use(size);
    return;
  }
  throw TransportError("the multiplexer refused the port");
}

void Connection::Send(ByteView bytes, Deadline deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    const int error = errno;
    if (sent >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    } else if (error == EAGAIN || error == EWOULDBLOCK) {
      if (!canceller_.Poll(fd_, POLLOUT, deadline.Remaining())) throw TransportError("send: timed out");
    } else if (error != EINTR) {
      canceller_.Check();
      Fail("send", error);
    }
  }
}

std::size_t Connection::ReceiveSome(std::span<std::uint8_t> room, Deadline deadline) {
  for (;;) {
    // Cancelling sets its flag first and shuts sockets down then: it is seen here, or it ends the wait.
    canceller_.Check();
    // Not a read that waits: a Unix socket would wake it when the service takes the request, too.
    pollfd answer{fd_, POLLIN, 0};
    const auto wait = std::min(deadline.Remaining(), kLongestWait);
    const int ready = poll(&answer, 1, static_cast<int>(wait.count()));
    if (ready < 0 && errno != EINTR) Fail("poll", errno);
    if (ready <= 0) {
      if (deadline.Passed()) throw TransportError("receive: timed out");
      continue;
    }
    const ssize_t got = recv(fd_, room.data(), room.size(), 0);
    const int error = errno;
    if (got > 0) return static_cast<std::size_t>(got);
    if (got < 0 && (error == EAGAIN || error == EWOULDBLOCK || error == EINTR)) continue;
    canceller_.Check();
    if (got == 0) throw TransportError("the service closed the connection");
    Fail("receive", error);
  }
}

ByteView Connection::Receive(std::size_t size, Deadline deadline) {
  while (received_.unused().size() < size) received_.Received(ReceiveSome(received_.Room(size), deadline));
  return received_.unused();
}

Answer Connection::Exchange(std::uint32_t id, ByteView frame, Deadline deadline) {
  Send(frame, deadline);
  const std::size_t size = FrameLength(Receive(kFrameHeaderBytes, deadline));
  if (!IsFrameLength(size)) throw TransportError("malformed answer: frame of a wrong length");
  const ByteView body = Receive(kFrameHeaderBytes + size, deadline).subspan(kFrameHeaderBytes, size);
  received_.Use(kFrameHeaderBytes + size);
  const Answer answer = OpenAnswer(body);
  // One request is in flight at a time: an answer to another one (0: to no readable request) is a fault.
  if (answer.id != id) throw TransportError("malformed answer: to another request");
  return answer;
}

void Connection::SetLoggedIn(CK_SLOT_ID slot, bool logged_in) {
  if (slot >= logged_in_.size()) logged_in_.resize(slot + 1);
  logged_in_[slot] = logged_in;
}

}  // namespace tlskeep
