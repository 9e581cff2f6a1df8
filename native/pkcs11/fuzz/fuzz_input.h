// Takes a fuzzer's bytes apart.
#pragma once

#include <algorithm>
#include <cstring>

#include "wire/bytes.h"

namespace tlskeep::fuzz {

class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : left_(data, size) {}

  bool empty() const { return left_.empty(); }
  std::uint8_t Byte() {
    if (left_.empty()) return 0;
    const std::uint8_t byte = left_.front();
    left_ = left_.subspan(1);
    return byte;
  }
  template <typename Number>
  Number Take() {
    Number number{};
    const ByteView bytes = Some(sizeof number);
    if (!bytes.empty()) std::memcpy(&number, bytes.data(), bytes.size());
    return number;
  }
  ByteView Some(std::size_t most) {
    const ByteView some = left_.first(std::min(most, left_.size()));
    left_ = left_.subspan(some.size());
    return some;
  }
  ByteView Rest() { return Some(left_.size()); }

 private:
  ByteView left_;
};

// The process ends, and the fuzzer keeps the input.
inline void Require(bool fact) {
  if (!fact) __builtin_trap();
}

}  // namespace tlskeep::fuzz
