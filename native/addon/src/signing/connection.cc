// Turns of a connection, and what its owner does to it meanwhile.
#include "signing/connection.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "addon_error.h"
#include "client/frame.h"

namespace tlskeep {
namespace {

// Served in one turn; then other connections have theirs.
constexpr int kFramesPerTurn = 16;
// Kept for the next start of a frame; a larger buffer is given back.
constexpr std::size_t kKeptBytes = 4'096;

// Whether there is something to serve: a whole frame, or a header that says there will be none.
bool HasFrame(ByteView input) {
  if (input.size() < kFrameHeaderBytes) return false;
  const std::size_t length = FrameLength(input);
  return !IsFrameLength(length) || input.size() - kFrameHeaderBytes >= length;
}

std::int64_t NowMs() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace

Connection::Connection(const Service& service, ConnectionId id, UniqueFd fd)
    : service_(service), id_(id), fd_(std::move(fd)) {}

void Connection::Start() {
  epoll_event event{.events = EPOLLIN | EPOLLONESHOT, .data = {.u64 = id_}};
  if (epoll_ctl(service_.epoll, EPOLL_CTL_ADD, fd_.get(), &event) != 0) {
    throw AddonError::System("epoll_ctl", errno);
  }
}

void Connection::Serve(std::uint32_t events, Scratch& scratch) {
  bool may_read = false;
  {
    const std::lock_guard lock(mutex_);
    // The owner may arm the connection between the event that woke a thread and its turn, which wakes
    // another one. The turn that has begun ends by looking at all that there is.
    if (!fd_.valid() || serving_) return;
    serving_ = true;
    Flush();
    may_read = MayRead();
  }
  if (may_read) Read(scratch);
  bool closed = false;
  {
    const std::lock_guard lock(mutex_);
    serving_ = false;
    has_frames_ = HasFrame(in_);
    // A peer that is gone altogether takes no answers; what it sent has been read unless something holds.
    if ((events & EPOLLERR) != 0 || ((events & EPOLLHUP) != 0 && !may_read)) broken_ = true;
    closed = ArmOrClose();
  }
  if (closed) service_.owner.OnClosed(id_);
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

void Connection::Read(Scratch& scratch) {
  if (!HasFrame(in_)) {
    const ssize_t got = recv(fd_.get(), scratch.data(), scratch.size(), MSG_DONTWAIT);
    if (got < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      const std::lock_guard lock(mutex_);
      broken_ = true;
      return;
    }
    if (got == 0) {
      End(in_.empty() ? EndReason::kEnded : EndReason::kFrameTruncated);
      return;
    }
    const ByteView bytes(scratch.data(), static_cast<std::size_t>(got));
    if (in_.empty()) {
      // As a rule: one whole frame, which is never copied.
      const ByteView rest = bytes.subspan(ServeFrames(bytes));
      in_.assign(rest.begin(), rest.end());
      return;
    }
    in_.insert(in_.end(), bytes.begin(), bytes.end());
  }
  const std::size_t served = ServeFrames(in_);
  in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(served));
  if (in_.empty() && in_.capacity() > kKeptBytes) in_ = {};
}

std::size_t Connection::ServeFrames(ByteView input) {
  std::size_t at = 0;
  for (int served = 0; served < kFramesPerTurn && HasFrame(input.subspan(at)); ++served) {
    const ByteView rest = input.subspan(at);
    const std::size_t length = FrameLength(rest);
    if (!IsFrameLength(length)) {
      End(length == 0 ? EndReason::kFrameEmpty : EndReason::kFrameTooLarge);
      return input.size();
    }
    at += kFrameHeaderBytes + length;
    const ByteView payload = rest.subspan(kFrameHeaderBytes, length);
    if (!Sign(payload)) {
      {
        const std::lock_guard lock(mutex_);
        with_owner_ = true;
      }
      service_.owner.OnRequest(id_, {payload.begin(), payload.end()});
      break;
    }
    const std::lock_guard lock(mutex_);
    if (!MayRead()) break;
  }
  return at;
}

bool Connection::Sign(ByteView payload) try {
  const auto started = std::chrono::steady_clock::now();
  const std::optional<SignMessage> message = ReadSignMessage(payload);
  if (!message) return false;
  std::shared_ptr<const PublishedKey> published;
  {
    const std::lock_guard lock(mutex_);
    if (!greeted_) return false;
    published = service_.directory.Find(message->fingerprint, NowMs(),
                                        [&](std::uint32_t gate) { return std::ranges::binary_search(gates_, gate); });
  }
  if (published == nullptr || !Admits(published->rules, message->request)) return false;
  CheckSignRequest(*published->key, message->request);
  const Signature signature = tlskeep::Sign(*published->key, message->request);
  published->counters->Add(message->request.mechanism);
  SignAnswerBuffer buffer;
  const ByteView answer = WriteSignAnswer(message->id, signature, buffer);
  {
    const std::lock_guard lock(mutex_);
    Write(answer);
  }
  service_.latency.Add(std::chrono::steady_clock::now() - started);
  return true;
} catch (const AddonError&) {
  // What the key refuses, or a signature that failed: the owner finds the same, and answers it.
  return false;
}

void Connection::End(EndReason reason) {
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
  }
  service_.owner.OnEnd(id_, reason);
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
  Bytes frame;
  frame.reserve(header.size() + payload.size());
  frame.insert(frame.end(), header.begin(), header.end());
  frame.insert(frame.end(), payload.begin(), payload.end());
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
