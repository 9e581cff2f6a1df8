// The client's end of a connection: a socket pair's, blocking, with a deadline for what it waits for.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "unique_fd.h"
#include "wire/bytes.h"

namespace tlskeep::test {

// For anything that must happen; $TLSKEEP_TEST_SLOWNESS times as long where all is slow.
std::chrono::milliseconds Patience();

// A status of PROTOCOL.md, and the signature if it is 0.
struct Answer {
  std::uint32_t id;
  std::uint64_t status;
  Bytes signature;
};

Bytes Frame(ByteView payload);

// All of these throw std::runtime_error where patience ends or the socket fails.
class Peer {
 public:
  // The peer, and the descriptor to serve.
  static std::pair<Peer, UniqueFd> Make();

  // Bytes as they are. For what the service is not expected to read, TrySend().
  void Send(ByteView bytes);
  void SendFrame(ByteView payload) { Send(Frame(payload)); }
  // As many as there is room for.
  std::size_t TrySend(ByteView bytes);
  // False if there is no room for more after a while.
  bool HasRoom() const;

  // A frame's payload; nothing at the end of the stream or if the service is gone.
  std::optional<Bytes> Read();
  // @throws std::runtime_error too if there is no answer, or it is none of a signature or a refusal
  Answer ReadAnswer();

  // What the service has not read.
  std::size_t Unread() const;
  void WaitUntilRead() const;

  void EndSending();
  void HangUp() { fd_.Reset(); }

 private:
  explicit Peer(UniqueFd fd) : fd_(std::move(fd)) {}

  // Exactly so many; false at the end of the stream before the first.
  bool ReadExactly(std::uint8_t* to, std::size_t size);

  UniqueFd fd_;
};

}  // namespace tlskeep::test
