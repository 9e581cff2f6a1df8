// The threads of the signing service. They share one epoll instance: whichever is free serves the
// connection that became ready first, reads, signs and answers without handing anything over.
#pragma once

#include <memory>
#include <shared_mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "signing/connection.h"

namespace tlskeep {

class SigningService {
 public:
  // A client that has another signature to ask for has done so by then, its wake-up and the thread's included.
  static constexpr std::chrono::microseconds kBusyPoll{100};

  // Throws AddonError if the system has no descriptors or threads to give.
  SigningService(std::shared_ptr<const KeyDirectory> directory, std::vector<std::chrono::microseconds> latency_bounds,
                 unsigned threads, ConnectionOwner& owner, std::chrono::microseconds busy_poll = kBusyPoll);
  SigningService(const SigningService&) = delete;
  SigningService& operator=(const SigningService&) = delete;
  ~SigningService() { Stop(); }

  // Serves a connected stream socket. Throws AddonError, and closes it then.
  ConnectionId Adopt(UniqueFd fd);
  // The connection, until Forget(); null for one that is not there.
  std::shared_ptr<Connection> Find(ConnectionId id) const;
  // For after the owner's OnClosed().
  void Forget(ConnectionId id);
  // Ends the threads, then the connections; no call to the owner follows. May be repeated.
  void Stop();

  const LatencyHistogram& latency() const { return latency_; }

 private:
  void Run();

  const std::shared_ptr<const KeyDirectory> directory_;
  LatencyHistogram latency_;
  UniqueFd epoll_;
  UniqueFd stop_;  // an eventfd: readable from Stop() on
  std::atomic<unsigned> idle_threads_ = 0;
  Connection::Service shared_;
  std::vector<std::thread> threads_;

  mutable std::shared_mutex mutex_;
  std::unordered_map<ConnectionId, std::shared_ptr<Connection>> connections_;
  ConnectionId last_id_ = 0;
};

}  // namespace tlskeep
