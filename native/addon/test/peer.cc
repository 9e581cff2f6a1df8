// Blocking calls, each behind a poll().
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <linux/sockios.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include "wire/cbor.h"

namespace tlskeep::test {
namespace {

using namespace std::chrono_literals;

// For what must not happen: too short a time finds less, but never fails without cause.
constexpr auto kAWhile = 100ms;

[[noreturn]] void Fail(const char* what) { throw std::system_error(errno, std::system_category(), what); }

bool Ready(int fd, short events, std::chrono::milliseconds patience) {
  pollfd waited{.fd = fd, .events = events, .revents = 0};
  return poll(&waited, 1, static_cast<int>(patience.count())) > 0;
}

}  // namespace

std::chrono::milliseconds Patience() {
  const char* slowness = std::getenv("TLSKEEP_TEST_SLOWNESS");
  return 20s * (slowness != nullptr ? std::stoi(slowness) : 1);
}

Bytes Frame(ByteView payload) {
  Bytes frame;
  for (int shift = 24; shift >= 0; shift -= 8) frame.push_back(static_cast<std::uint8_t>(payload.size() >> shift));
  frame.insert(frame.end(), payload.begin(), payload.end());
  return frame;
}

std::pair<Peer, UniqueFd> Peer::Make() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) Fail("socketpair");
  return {Peer(UniqueFd(pair[0])), UniqueFd(pair[1])};
}

void Peer::Send(ByteView bytes) {
  while (!bytes.empty()) {
    if (!Ready(fd_.get(), POLLOUT, Patience())) throw std::runtime_error("the service reads nothing");
    bytes = bytes.subspan(TrySend(bytes));
  }
}

std::size_t Peer::TrySend(ByteView bytes) {
  const ssize_t sent = send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0 && errno != EAGAIN) Fail("send");
  return sent < 0 ? 0 : static_cast<std::size_t>(sent);
}

bool Peer::HasRoom() const { return Ready(fd_.get(), POLLOUT, kAWhile); }

bool Peer::ReadExactly(std::uint8_t* to, std::size_t size) {
  for (std::size_t at = 0; at < size;) {
    if (!Ready(fd_.get(), POLLIN, Patience())) throw std::runtime_error("the service sends nothing");
    const ssize_t got = recv(fd_.get(), to + at, size - at, 0);
    // The service closed with something of ours unread: an end, too.
    const bool ended = got == 0 || (got < 0 && errno == ECONNRESET);
    if (ended && at == 0) return false;
    if (ended) throw std::runtime_error("a frame is cut short");
    if (got < 0) Fail("recv");
    at += static_cast<std::size_t>(got);
  }
  return true;
}

std::optional<Bytes> Peer::Read() {
  std::uint8_t header[4];
  if (!ReadExactly(header, sizeof header)) return std::nullopt;
  Bytes payload(std::size_t{header[0]} << 24 | std::size_t{header[1]} << 16 | std::size_t{header[2]} << 8 | header[3]);
  if (!ReadExactly(payload.data(), payload.size())) throw std::runtime_error("a frame is cut short");
  return payload;
}

Answer Peer::ReadAnswer() {
  const std::optional<Bytes> payload = Read();
  if (!payload) throw std::runtime_error("the service has closed the connection");
  CborReader reader(*payload);
  const std::size_t elements = reader.Array();
  Answer answer{.id = static_cast<std::uint32_t>(reader.Unsigned()), .status = reader.Unsigned(), .signature = {}};
  if (elements != (answer.status == 0 ? 3 : 2)) throw std::runtime_error("not an answer");
  if (answer.status == 0) answer.signature = ToBytes(reader.ByteString());
  if (!reader.AtEnd()) throw std::runtime_error("not an answer alone");
  return answer;
}

std::size_t Peer::Unread() const {
  int unread = 0;
  if (ioctl(fd_.get(), SIOCOUTQ, &unread) != 0) Fail("ioctl");
  return static_cast<std::size_t>(unread);
}

void Peer::WaitUntilRead() const {
  const auto deadline = std::chrono::steady_clock::now() + Patience();
  while (Unread() > 0) {
    if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("the service reads nothing");
    std::this_thread::sleep_for(1ms);
  }
}

void Peer::EndSending() {
  if (shutdown(fd_.get(), SHUT_WR) != 0) Fail("shutdown");
}

}  // namespace tlskeep::test
