// A short secret (a PIN, or the frame that carries it) in memory of its own: locked against swapping,
// kept out of core dumps, wiped when it ends. A forked child keeps it and locks it again.
#pragma once

#include <cstddef>

#include "wire/bytes.h"

namespace tlskeep {

class Secret {
 public:
  // Room for `capacity` bytes, at most a page. @throws std::bad_alloc
  explicit Secret(std::size_t capacity);
  explicit Secret(ByteView content);
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret&& other) noexcept;
  ~Secret();

  void Append(ByteView content);  // @throws std::length_error beyond the capacity
  ByteView view() const noexcept { return {memory_, size_}; }
  bool Equals(ByteView other) const noexcept;  // in constant time for equal lengths
  // Locks are not inherited over fork().
  void LockAgain() noexcept;

 private:
  void Release() noexcept;

  std::uint8_t* memory_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

}  // namespace tlskeep
