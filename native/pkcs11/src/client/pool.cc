// Lends connections and opens new ones outside the lock.
#include "client/pool.h"

#include <algorithm>

#include "wire/transport_error.h"

namespace tlskeep {
namespace {

constexpr std::chrono::seconds kLimitTime{1};

}  // namespace

Pool::Lease::Lease(Pool& pool, Deadline deadline) : pool_(pool) {
  connection_ = pool_.Take(deadline, epoch_);
  reused_ = connection_ != nullptr;
  if (reused_) return;
  try {
    connection_ =
        std::make_unique<Connection>(pool_.sockets_, pool_.canceller_, pool_.endpoint_.Read(), deadline);
  } catch (...) {
    pool_.OpenFailed();
    throw;
  }
  pool_.Opened();
}

Pool::Lease::~Lease() {
  if (connection_ == nullptr) return;
  connection_.reset();
  pool_.GiveBack(nullptr, epoch_);
}

void Pool::Lease::Return() {
  connection_->Shrink();
  pool_.GiveBack(std::move(connection_), epoch_);
}

std::unique_ptr<Connection> Pool::Take(Deadline deadline, std::uint64_t& epoch) {
  std::unique_lock lock(mutex_);
  while (idle_.empty()) {
    canceller_.Check();
    const bool limited = SteadyClock::now() < limited_until_;
    if (leased_ < (limited ? limit_ : kLargestPool)) break;
    if (deadline.Passed()) throw TransportError("no connection became free in time");
    freed_->wait_until(lock, limited ? std::min(deadline.at(), limited_until_) : deadline.at());
  }
  canceller_.Check();
  ++leased_;
  epoch = epoch_;
  if (idle_.empty()) {
    ++opening_;
    return nullptr;
  }
  std::unique_ptr<Connection> connection = std::move(idle_.back());
  idle_.pop_back();
  return connection;
}

void Pool::Opened() noexcept {
  const std::lock_guard lock(mutex_);
  --opening_;
}

void Pool::OpenFailed() noexcept {
  {
    const std::lock_guard lock(mutex_);
    --opening_;
    --leased_;
    // With others open, the service is there and takes no more of them: better wait for one of those.
    if (const std::size_t open = leased_ - opening_ + idle_.size(); open > 0) {
      limit_ = open;
      limited_until_ = SteadyClock::now() + kLimitTime;
    }
  }
  freed_->notify_one();
}

void Pool::GiveBack(std::unique_ptr<Connection> connection, std::uint64_t epoch) noexcept {
  {
    const std::lock_guard lock(mutex_);
    --leased_;
    // The constructor's reservation makes this push_back unable to fail.
    if (connection != nullptr && epoch == epoch_) idle_.push_back(std::move(connection));
  }
  freed_->notify_one();
}

void Pool::CloseAll() noexcept {
  const std::lock_guard lock(mutex_);
  ++epoch_;
  idle_.clear();
}

void Pool::WakeAll() noexcept {
  sockets_.ShutDownAll();
  const std::lock_guard lock(mutex_);
  freed_->notify_all();
}

void Pool::LockForFork() noexcept {
  mutex_.lock();
  sockets_.LockForFork();
}

void Pool::UnlockInParent() noexcept {
  sockets_.UnlockInParent();
  mutex_.unlock();
}

void Pool::ResetInChild() noexcept {
  sockets_.CloseAllInChild();
  idle_.clear();
  leased_ = 0;
  opening_ = 0;
  limited_until_ = {};
  ++epoch_;
  // Left to itself, not destroyed: destroying one that threads wait on may block.
  static_cast<void>(freed_.release());
  freed_ = std::make_unique<std::condition_variable>();
  mutex_.unlock();
}

}  // namespace tlskeep
