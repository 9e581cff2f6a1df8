// How the fake enclave writes frames and answers.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

#include "wire/bytes.h"
#include "wire/cbor.h"

namespace tlskeep::test {

inline constexpr std::size_t kLargestFrame = 65'536;

// Numbers of PROTOCOL.md, spelled out again: the module's table is what is under test.
enum StatusCode : std::uint64_t {
  kOk = 0,
  kMalformedRequest = 1,
  kHelloRequired = 3,
  kUnknownOp = 5,
  kUnknownToken = 6,
  kUnknownKey = 7,
  kPinIncorrect = 8,
  kLoginRequired = 9,
  kMechanismRefused = 10,
  kMechanismParamRefused = 11,
  kDataRefused = 12,
  kDataLenRange = 13,
  kBusyStatus = 14,
  kEncryptedDataInvalid = 16,
  kEncryptedDataLenRange = 17,
};

inline void WriteAll(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
}

inline Bytes WithLength(ByteView body) {
  const std::size_t size = body.size();
  Bytes frame(4 + size);
  for (std::size_t i = 0; i < 4; ++i) frame[i] = static_cast<std::uint8_t>(size >> (24 - 8 * i));
  std::copy(body.begin(), body.end(), frame.begin() + 4);
  return frame;
}

inline Bytes Refusal(std::uint64_t id, StatusCode status) {
  CborWriter writer;
  writer.Array(2);
  writer.Unsigned(id);
  writer.Unsigned(status);
  return std::move(writer).Take();
}

inline CborWriter OkAnswer(std::uint64_t id) {
  CborWriter writer;
  writer.Array(3);
  writer.Unsigned(id);
  writer.Unsigned(kOk);
  return writer;
}

inline Bytes Bare(std::uint64_t id, std::uint64_t value) {
  CborWriter writer = OkAnswer(id);
  writer.Unsigned(value);
  return std::move(writer).Take();
}

inline Bytes BytesAnswer(std::uint64_t id, ByteView bytes) {
  CborWriter writer = OkAnswer(id);
  writer.ByteString(bytes);
  return std::move(writer).Take();
}

}  // namespace tlskeep::test
