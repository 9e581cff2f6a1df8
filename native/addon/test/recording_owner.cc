// A queue behind a mutex.
#include "recording_owner.h"

#include <stdexcept>

#include "peer.h"

namespace tlskeep::test {

Event RecordingOwner::Next() {
  std::unique_lock lock(mutex_);
  // By the clock of the system: ThreadSanitizer does not know of waits by the steady one.
  const auto deadline = std::chrono::system_clock::now() + Patience();
  if (!added_.wait_until(lock, deadline, [&] { return !events_.empty(); })) {
    throw std::runtime_error("nothing happens");
  }
  Event event = std::move(events_.front());
  events_.pop_front();
  return event;
}

std::size_t RecordingOwner::Count() const {
  const std::lock_guard lock(mutex_);
  return events_.size();
}

void RecordingOwner::OnRequest(ConnectionId id, Bytes payload) {
  Add({Event::Kind::kRequest, id, std::move(payload), EndReason::kEnded});
}

void RecordingOwner::OnEnd(ConnectionId id, EndReason reason) { Add({Event::Kind::kEnd, id, {}, reason}); }

void RecordingOwner::OnClosed(ConnectionId id) { Add({Event::Kind::kClosed, id, {}, EndReason::kEnded}); }

void RecordingOwner::Add(Event event) {
  const std::lock_guard lock(mutex_);
  events_.push_back(std::move(event));
  added_.notify_all();
}

}  // namespace tlskeep::test
