// The fake enclave's sockets and threads, and what it holds.
#include "fake_enclave.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>

#include "fake_session.h"
#include "fake_wire.h"

namespace tlskeep::test {
namespace {

bool ReadAll(int fd, std::uint8_t* into, std::size_t size) {
  while (size > 0) {
    const ssize_t got = recv(fd, into, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    into += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

}  // namespace

FakeToken MakeFakeToken(const std::string& label, const std::string& pin, KeyKind kind) {
  FakeToken token;
  token.label = label;
  token.pin = pin;
  token.key = MakeKey(kind);
  token.certificates = MakeChain(token.key, "localhost");
  return token;
}

FakeEnclave::FakeEnclave(std::string path, std::uint32_t hybrid_port)
    : path_(std::move(path)),
      hybrid_port_(hybrid_port),
      generation_(static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                                 std::chrono::system_clock::now().time_since_epoch())
                                                 .count())) {
  Start();
}

FakeEnclave::~FakeEnclave() {
  HoldSignatures(false);
  Stop();
}

void FakeEnclave::Start() {
  unlink(path_.c_str());
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path_.data(), std::min(path_.size(), sizeof name.sun_path - 1));
  if (bind(listener_, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0 || listen(listener_, 128) != 0) {
    throw std::runtime_error("cannot listen on " + path_);
  }
  accepting_ = std::thread([this, listener = listener_] { AcceptLoop(listener); });
}

void FakeEnclave::Stop() {
  if (listener_ < 0) return;
  unlink(path_.c_str());
  shutdown(listener_, SHUT_RDWR);
  accepting_.join();
  close(listener_);
  listener_ = -1;
  const std::lock_guard lock(connections_mutex_);
  for (const auto& connection : open_) shutdown(connection->fd, SHUT_RDWR);
  for (const auto& connection : open_) {
    connection->thread.join();
    close(connection->fd);
  }
  open_.clear();
}

void FakeEnclave::Provision(FakeToken token) {
  const std::lock_guard lock(mutex_);
  ++generation_;
  const auto found = std::find_if(tokens_.begin(), tokens_.end(),
                                  [&](const FakeToken& known) { return known.label == token.label; });
  if (found != tokens_.end()) {
    if (token.key != found->key) token.retiring = found->key;
    *found = std::move(token);
    return;
  }
  tokens_.push_back(std::move(token));
  std::sort(tokens_.begin(), tokens_.end(),
            [](const FakeToken& a, const FakeToken& b) { return a.label < b.label; });
}

void FakeEnclave::Remove(const std::string& label) {
  const std::lock_guard lock(mutex_);
  ++generation_;
  std::erase_if(tokens_, [&](const FakeToken& token) { return token.label == label; });
}

void FakeEnclave::Clear() {
  const std::lock_guard lock(mutex_);
  generation_ += 1000;
  tokens_.clear();
}

void FakeEnclave::Misbehave(Fault fault, int times) {
  const std::lock_guard lock(mutex_);
  fault_ = fault;
  fault_times_ = times;
}

std::uint64_t FakeEnclave::requests(const std::string& op) const {
  const std::lock_guard lock(mutex_);
  const auto found = requests_.find(op);
  return found == requests_.end() ? 0 : found->second;
}

Fault FakeEnclave::NextFault() {
  const std::lock_guard lock(mutex_);
  if (fault_times_ <= 0) return Fault::kNone;
  --fault_times_;
  return fault_;
}

void FakeEnclave::AcceptLoop(int listener) {
  for (;;) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return;
    }
    ++connections_;
    const std::lock_guard lock(connections_mutex_);
    std::erase_if(open_, [](const std::unique_ptr<Connection>& connection) {
      if (!connection->done) return false;
      connection->thread.join();
      close(connection->fd);
      return true;
    });
    if (open_.size() >= largest_connections_) {
      close(fd);
      continue;
    }
    auto& connection = open_.emplace_back(std::make_unique<Connection>());
    connection->fd = fd;
    connection->thread = std::thread([this, &served = *connection] { Serve(served); });
  }
}

bool FakeEnclave::GreetHybrid(int fd) {
  std::string line;
  std::uint8_t byte = 0;
  while (line.size() < 64 && ReadAll(fd, &byte, 1)) {
    line.push_back(static_cast<char>(byte));
    if (byte != '\n') continue;
    if (line != "CONNECT " + std::to_string(hybrid_port_) + "\n") return false;
    WriteAll(fd, AsBytes("OK 1073741824\n"));
    return true;
  }
  return false;
}

void FakeEnclave::Serve(Connection& connection) {
  const int fd = connection.fd;
  Session session;
  if (hybrid_port_ == 0 || GreetHybrid(fd)) {
    std::uint8_t header[4];
    while (!session.close && ReadAll(fd, header, sizeof header)) {
      const std::size_t size = std::size_t{header[0]} << 24 | std::size_t{header[1]} << 16 |
                               std::size_t{header[2]} << 8 | std::size_t{header[3]};
      if (size == 0 || size > kLargestFrame) break;
      Bytes body(size);
      if (!ReadAll(fd, body.data(), body.size())) break;
      SendAnswer(fd, session.op, Answer(session, body));
    }
  }
  // The descriptor is closed by the one who joins; here the peer learns that nothing more comes.
  shutdown(fd, SHUT_RDWR);
  connection.done = true;
}

}  // namespace tlskeep::test
