// How long signatures took, from the request read to the answer written: a histogram that any thread
// adds to.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

namespace tlskeep {

class LatencyHistogram {
 public:
  // `bounds`: upper ends of the buckets, ascending; one more bucket takes what is above them.
  explicit LatencyHistogram(std::vector<std::chrono::microseconds> bounds)
      : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

  void Add(std::chrono::nanoseconds took) {
    std::size_t bucket = 0;
    // Most answers fall into the first few.
    while (bucket < bounds_.size() && took > bounds_[bucket]) ++bucket;
    counts_[bucket].fetch_add(1, std::memory_order_relaxed);
    total_ns_.fetch_add(static_cast<std::uint64_t>(took.count()), std::memory_order_relaxed);
  }

  std::vector<std::uint64_t> Counts() const {
    return {counts_.begin(), counts_.end()};
  }
  double TotalMicroseconds() const { return static_cast<double>(total_ns_.load()) / 1'000; }

 private:
  const std::vector<std::chrono::microseconds> bounds_;
  std::vector<std::atomic<std::uint64_t>> counts_;
  std::atomic<std::uint64_t> total_ns_ = 0;
};

}  // namespace tlskeep
