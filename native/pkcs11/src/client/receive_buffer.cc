// Never clears memory that the next read fills anyway.
#include "client/receive_buffer.h"

#include <algorithm>
#include <cstring>

namespace tlskeep {

std::span<std::uint8_t> ReceiveBuffer::Room(std::size_t wanted) {
  if (begin_ + wanted > capacity_) {
    // Full: twice the space. Else what is there moves to the front, and the rest is filled before more is taken.
    const bool full = begin_ == 0 && end_ == capacity_;
    const std::size_t size = end_ - begin_;
    if (full || capacity_ == 0) {
      const std::size_t larger = std::max(kKept, capacity_ * 2);
      auto data = std::make_unique_for_overwrite<std::uint8_t[]>(larger);
      if (size > 0) std::memcpy(data.get(), data_.get(), size);
      data_ = std::move(data);
      capacity_ = larger;
    } else if (begin_ > 0) {
      std::memmove(data_.get(), data_.get() + begin_, size);
      begin_ = 0;
      end_ = size;
    }
  }
  return {data_.get() + end_, capacity_ - end_};
}

void ReceiveBuffer::Use(std::size_t bytes) {
  begin_ += bytes;
  if (begin_ == end_) begin_ = end_ = 0;
}

void ReceiveBuffer::Shrink() noexcept {
  if (capacity_ <= kKept || begin_ != end_) return;
  data_.reset();
  capacity_ = begin_ = end_ = 0;
}

}  // namespace tlskeep
