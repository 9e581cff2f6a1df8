// The frames of PROTOCOL.md, as client and service see them: four bytes of length, highest first, then so
// many bytes of payload.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "wire/bytes.h"

namespace tlskeep {

inline constexpr std::size_t kFrameHeaderBytes = 4;
// Of the payload, which is never empty.
inline constexpr std::size_t kLargestFrame = 65'536;

// The header of a payload of `size` bytes, below 2^32.
constexpr std::array<std::uint8_t, kFrameHeaderBytes> FrameHeader(std::size_t size) {
  return {static_cast<std::uint8_t>(size >> 24), static_cast<std::uint8_t>(size >> 16),
          static_cast<std::uint8_t>(size >> 8), static_cast<std::uint8_t>(size)};
}

// The length that a header announces. `frame`: kFrameHeaderBytes at least.
inline std::size_t FrameLength(ByteView frame) {
  return std::size_t{frame[0]} << 24 | std::size_t{frame[1]} << 16 | std::size_t{frame[2]} << 8 |
         std::size_t{frame[3]};
}

inline bool IsFrameLength(std::size_t length) { return length > 0 && length <= kLargestFrame; }

}  // namespace tlskeep
