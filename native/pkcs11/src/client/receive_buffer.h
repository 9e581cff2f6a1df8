// Bytes that a connection has received and not yet used up: in a small buffer that stays, and in a larger one for
// as long as a long answer needs it.
#pragma once

#include <memory>
#include <span>

#include "wire/bytes.h"

namespace tlskeep {

class ReceiveBuffer {
 public:
  // What stays, from the first use on. Any signature, plaintext or refusal fits.
  static constexpr std::size_t kKept = 1024;

  // What has been received and not used up. The bytes stay where they are until Room or Shrink, used up or not.
  ByteView unused() const { return {data_.get() + begin_, end_ - begin_}; }
  std::size_t capacity() const { return capacity_; }

  // Where to receive more to, so that unused() comes nearer to `wanted` bytes, which it does not have yet. Grows by
  // doubling, with what has arrived rather than by what was announced.
  std::span<std::uint8_t> Room(std::size_t wanted);
  // That many bytes have been received to the start of Room.
  void Received(std::size_t bytes) { end_ += bytes; }
  // The first bytes of unused() have been used up.
  void Use(std::size_t bytes);
  // Gives back what a long answer took, unless there are bytes left in it.
  void Shrink() noexcept;

 private:
  std::unique_ptr<std::uint8_t[]> data_;
  std::size_t capacity_ = 0;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

}  // namespace tlskeep
