// The pause between two tries: 10 ms, doubling to 250 ms, and none at all once.
#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

#include "client/canceller.h"
#include "client/deadline.h"

namespace tlskeep {

class Backoff {
 public:
  Backoff(const Canceller& canceller, Deadline deadline) : canceller_(canceller), deadline_(deadline) {}

  // Waits before the next try. False when the deadline has passed: there is no next try.
  bool Wait() {
    if (deadline_.Passed()) return false;
    canceller_.Sleep(std::min(pause_, deadline_.Remaining()));
    pause_ = std::min(pause_ * 2, kLongest);
    return !deadline_.Passed();
  }

  // For the failure of a connection that had been idle: the next try, on a new one, need not wait.
  bool SkipOnce() { return !std::exchange(skipped_, true); }

 private:
  static constexpr std::chrono::milliseconds kLongest{250};

  const Canceller& canceller_;
  Deadline deadline_;
  std::chrono::milliseconds pause_{10};
  bool skipped_ = false;
};

}  // namespace tlskeep
