// Latencies in a fixed amount of memory: 64 buckets for each power of two, so that a quantile is off by
// less than 1.6 %. Plain memory without pointers: forked processes share one by mmap.
#pragma once

#include <array>
#include <bit>
#include <cstdint>

namespace tlskeep::bench {

class Histogram {
 public:
  void Add(std::uint64_t nanoseconds) {
    ++counts_[Index(nanoseconds)];
    ++total_;
    sum_ += nanoseconds;
    if (nanoseconds > largest_) largest_ = nanoseconds;
  }

  void Merge(const Histogram& other) {
    for (std::size_t i = 0; i < counts_.size(); ++i) counts_[i] += other.counts_[i];
    total_ += other.total_;
    sum_ += other.sum_;
    if (other.largest_ > largest_) largest_ = other.largest_;
  }

  std::uint64_t total() const { return total_; }
  std::uint64_t largest() const { return largest_; }
  double mean() const { return total_ == 0 ? 0 : static_cast<double>(sum_) / static_cast<double>(total_); }

  // The middle of the bucket that holds the given share (0 to 1) of all values, nanoseconds.
  double Quantile(double share) const {
    const double wanted = share * static_cast<double>(total_);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      seen += counts_[i];
      if (seen > 0 && static_cast<double>(seen) >= wanted) return Middle(i);
    }
    return 0;
  }

 private:
  static constexpr unsigned kBits = 6;
  static constexpr std::size_t kPerOctave = std::size_t{1} << kBits;
  // Up to 2^40 ns, some 18 minutes; what took longer counts as that.
  static constexpr unsigned kLargestExponent = 40;
  static constexpr std::size_t kBuckets = (kLargestExponent - kBits + 1) * kPerOctave;

  static std::size_t Index(std::uint64_t value) {
    if (value < kPerOctave) return static_cast<std::size_t>(value);
    const auto octave = static_cast<unsigned>(std::bit_width(value)) - kBits - 1;
    const std::size_t index = octave * kPerOctave + static_cast<std::size_t>(value >> octave);
    return index < kBuckets ? index : kBuckets - 1;
  }

  static double Middle(std::size_t index) {
    if (index < kPerOctave) return static_cast<double>(index);
    const std::size_t octave = index / kPerOctave - 1;
    const std::size_t mantissa = index - octave * kPerOctave;
    return (static_cast<double>(mantissa) + 0.5) * static_cast<double>(std::uint64_t{1} << octave);
  }

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t total_ = 0;
  std::uint64_t sum_ = 0;
  std::uint64_t largest_ = 0;
};

}  // namespace tlskeep::bench
