// A point in time by which an operation has to end.
#pragma once

#include <algorithm>
#include <chrono>

namespace tlskeep {

using SteadyClock = std::chrono::steady_clock;

class Deadline {
 public:
  static Deadline In(std::chrono::milliseconds duration) { return Deadline(SteadyClock::now() + duration); }

  bool Passed() const { return SteadyClock::now() >= at_; }
  SteadyClock::time_point at() const { return at_; }

  // Rounded up, so that waiting this long does pass the deadline; 0 once it has passed.
  std::chrono::milliseconds Remaining() const {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(at_ - SteadyClock::now());
    return std::max(left, std::chrono::milliseconds(0));
  }

  // This deadline, or `duration` from now if that is sooner.
  Deadline NoLaterThanIn(std::chrono::milliseconds duration) const {
    return Deadline(std::min(at_, SteadyClock::now() + duration));
  }

 private:
  explicit Deadline(SteadyClock::time_point at) : at_(at) {}

  SteadyClock::time_point at_;
};

}  // namespace tlskeep
