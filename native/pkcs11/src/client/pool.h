// The connections of one process: one for each thread that waits for an answer, since the service works on the
// requests of one connection one after the other. A thread leases one for a request and gives it back; at most
// kLargestPool exist, further threads wait. Callers see only Lease: the policy may change behind it.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <vector>

#include "client/connection.h"
#include "client/endpoint.h"

namespace tlskeep {

class Pool {
 public:
  static constexpr std::size_t kLargestPool = 64;

  class Lease {
   public:
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;

    Connection& connection() { return *connection_; }
    // Whether the connection had been used before: then its failure says little about the service.
    bool reused() const { return reused_; }
    // Gives the connection back for others. A lease that ends otherwise closes it, since what is left
    // unread on it would be taken for the answer to the next request.
    void Return();

   private:
    friend class Pool;
    Lease(Pool& pool, Deadline deadline);

    Pool& pool_;
    std::unique_ptr<Connection> connection_;
    std::uint64_t epoch_ = 0;
    bool reused_ = false;
  };

  Pool(Endpoint endpoint, const Canceller& canceller) : endpoint_(std::move(endpoint)), canceller_(canceller) {
    idle_.reserve(kLargestPool);
  }

  // @throws TransportError
  Lease Checkout(Deadline deadline) { return Lease(*this, deadline); }
  // Closes the idle connections now and the leased ones when they come back.
  void CloseAll() noexcept;
  // Lets threads that wait, for a connection or for an answer, see that they have been cancelled.
  void WakeAll() noexcept;

  void LockForFork() noexcept;
  void UnlockInParent() noexcept;
  void ResetInChild() noexcept;

 private:
  // Takes an idle connection, or the right to open one (null), which Opened or OpenFailed follows.
  std::unique_ptr<Connection> Take(Deadline deadline, std::uint64_t& epoch);
  void Opened() noexcept;
  void OpenFailed() noexcept;
  // Ends the lease of a connection; null if it has been closed.
  void GiveBack(std::unique_ptr<Connection> connection, std::uint64_t epoch) noexcept;

  const Endpoint endpoint_;
  const Canceller& canceller_;
  SocketTable sockets_;
  std::mutex mutex_;
  // In its own storage: a forked child starts a new one, since the old may count threads that are gone.
  std::unique_ptr<std::condition_variable> freed_ = std::make_unique<std::condition_variable>();
  std::vector<std::unique_ptr<Connection>> idle_;
  std::size_t leased_ = 0;  // connections with threads, those that are being opened included
  std::size_t opening_ = 0;
  // How many connections to have until `limited_until_`: the service refused more.
  std::size_t limit_ = kLargestPool;
  SteadyClock::time_point limited_until_;
  std::uint64_t epoch_ = 0;  // a connection of an older epoch is closed when it comes back
};

}  // namespace tlskeep
