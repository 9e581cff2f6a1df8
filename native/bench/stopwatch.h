// Time since a moment, by the monotonic clock.
#pragma once

#include <chrono>
#include <cstdint>

namespace tlskeep::bench {

class Stopwatch {
 public:
  std::uint64_t nanoseconds() const {
    const auto passed = std::chrono::steady_clock::now() - start_;
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count());
  }
  double microseconds() const { return static_cast<double>(nanoseconds()) / 1e3; }
  double seconds() const { return static_cast<double>(nanoseconds()) / 1e9; }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace tlskeep::bench
