// An owner of connections that keeps what it is told, for tests to take one by one.
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>

#include "signing/connection.h"

namespace tlskeep::test {

struct Event {
  enum class Kind { kRequest, kEnd, kClosed };
  Kind kind;
  ConnectionId id;
  Bytes payload;     // of a request
  EndReason reason;  // of an end
};

class RecordingOwner final : public ConnectionOwner {
 public:
  // The next event. @throws std::runtime_error where patience ends
  Event Next();
  // Events that have not been taken.
  std::size_t Count() const;
  bool Empty() const { return Count() == 0; }

 private:
  void OnRequest(ConnectionId id, Bytes payload) override;
  void OnEnd(ConnectionId id, EndReason reason) override;
  void OnClosed(ConnectionId id) override;
  void Add(Event event);

  mutable std::mutex mutex_;
  std::condition_variable added_;
  std::deque<Event> events_;
};

}  // namespace tlskeep::test
