// Waits for ready connections and gives each a turn.
#include "signing/signing_service.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <mutex>
#include <system_error>

#include "addon_error.h"

namespace tlskeep {
namespace {

// The id of the event that ends the threads; connections count from 1.
constexpr ConnectionId kStopId = 0;

// Signals are the main thread's: a thread that starts inherits the mask.
class AllSignalsBlocked {
 public:
  AllSignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  AllSignalsBlocked(const AllSignalsBlocked&) = delete;
  AllSignalsBlocked& operator=(const AllSignalsBlocked&) = delete;
  ~AllSignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

// Ends a connection for which there is no memory.
void GiveUp(Connection& connection) noexcept try {
  connection.Abandon();
} catch (const std::bad_alloc&) {
  // Closed all the same; the owner, who could not be told, counts it on.
}

}  // namespace

SigningService::SigningService(std::shared_ptr<const KeyDirectory> directory,
                               std::vector<std::chrono::microseconds> latency_bounds, unsigned threads,
                               ConnectionOwner& owner, std::chrono::microseconds busy_poll)
    : directory_(std::move(directory)),
      latency_(std::move(latency_bounds)),
      epoll_(epoll_create1(EPOLL_CLOEXEC)),
      stop_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      shared_{*directory_, latency_, owner, epoll_.get(), idle_threads_, busy_poll} {
  if (!epoll_.valid() || !stop_.valid()) throw AddonError::System("epoll_create1", errno);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kStopId}};
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &event) != 0) {
    throw AddonError::System("epoll_ctl", errno);
  }
  const AllSignalsBlocked blocked;
  threads_.reserve(threads);
  try {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
  } catch (const std::system_error& error) {
    Stop();
    throw AddonError::System("pthread_create", error.code().value());
  }
}

ConnectionId SigningService::Adopt(UniqueFd fd) {
  std::shared_ptr<Connection> connection;
  ConnectionId id = 0;
  {
    const std::unique_lock lock(mutex_);
    id = ++last_id_;
    connection = std::make_shared<Connection>(shared_, id, std::move(fd));
    connections_.emplace(id, connection);
  }
  try {
    connection->Start();
  } catch (...) {
    Forget(id);
    throw;
  }
  return id;
}

std::shared_ptr<Connection> SigningService::Find(ConnectionId id) const {
  const std::shared_lock lock(mutex_);
  const auto found = connections_.find(id);
  return found == connections_.end() ? nullptr : found->second;
}

void SigningService::Forget(ConnectionId id) {
  const std::unique_lock lock(mutex_);
  connections_.erase(id);
}

void SigningService::Stop() {
  if (stop_.valid()) eventfd_write(stop_.get(), 1);
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  const std::unique_lock lock(mutex_);
  connections_.clear();
}

void SigningService::Run() {
  pthread_setname_np(pthread_self(), "tlskeep-sign");
  const auto scratch = std::make_unique<Connection::Scratch>();
  for (;;) {
    epoll_event event{};
    // One at a time: the others are for the other threads.
    ++idle_threads_;
    const int ready = epoll_wait(epoll_.get(), &event, 1, -1);
    --idle_threads_;
    if (ready <= 0) continue;
    if (event.data.u64 == kStopId) return;
    const std::shared_ptr<Connection> connection = Find(event.data.u64);
    if (connection == nullptr) continue;
    try {
      connection->Serve(event.events, *scratch);
    } catch (const std::bad_alloc&) {
      GiveUp(*connection);
    }
  }
}

}  // namespace tlskeep
