// What the thread does that serves a connection.
#include <errno.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>

#include "addon_error.h"
#include "signing/connection.h"
#include "wire/frame.h"

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
  if (may_read) {
    Read(scratch);
    while (BusyPoll(scratch)) {
    }
  }
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

void Connection::Read(Scratch& scratch) {
  if (HasFrame(in_)) {
    ServeKept();
  } else {
    Receive(scratch);
  }
}

bool Connection::Receive(Scratch& scratch) {
  const ssize_t got = recv(fd_.get(), scratch.data(), scratch.size(), MSG_DONTWAIT);
  if (got < 0) {
    if (errno == EAGAIN || errno == EINTR) return false;
    const std::lock_guard lock(mutex_);
    broken_ = true;
    return true;
  }
  if (got == 0) {
    End(in_.empty() ? EndReason::kEnded : EndReason::kFrameTruncated);
    return true;
  }
  const ByteView bytes(scratch.data(), static_cast<std::size_t>(got));
  if (in_.empty()) {
    // As a rule: one whole frame, which is never copied.
    const ByteView rest = bytes.subspan(ServeFrames(bytes));
    in_.assign(rest.begin(), rest.end());
    return true;
  }
  in_.insert(in_.end(), bytes.begin(), bytes.end());
  ServeKept();
  return true;
}

bool Connection::BusyPoll(Scratch& scratch) {
  if (!in_a_row_ || !in_.empty()) return false;
  do {
    if (service_.idle_threads == 0) return false;
    {
      const std::lock_guard lock(mutex_);
      if (!MayRead()) return false;
    }
    if (Receive(scratch)) return true;
    // Whoever else wants this core has it first: it may be the client.
    sched_yield();
  } while (std::chrono::steady_clock::now() - signed_ < service_.busy_poll);
  in_a_row_ = false;
  return false;
}

void Connection::ServeKept() {
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
  in_a_row_ = started - signed_ < service_.busy_poll;
  const std::optional<SignMessage> message = ReadSignMessage(payload);
  if (!message) return false;
  std::optional<PublishedKey> published;
  {
    const std::lock_guard lock(mutex_);
    if (!greeted_) return false;
    published = service_.directory.Find(message->fingerprint, NowMs(),
                                        [&](std::uint32_t gate) { return std::ranges::binary_search(gates_, gate); });
  }
  if (!published || !Admits(published->rules, message->request)) return false;
  CheckSignRequest(*published->key, message->request);
  const Signature signature = tlskeep::Sign(*published->key, message->request);
  published->counters->Add(message->request.mechanism);
  SignAnswerBuffer buffer;
  const ByteView answer = WriteSignAnswer(message->id, signature, buffer);
  {
    const std::lock_guard lock(mutex_);
    Write(answer);
  }
  signed_ = std::chrono::steady_clock::now();
  service_.latency.Add(signed_ - started);
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

}  // namespace tlskeep
