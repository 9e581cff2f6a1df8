// One connection to the signing service: connected, greeted, used by one thread at a time.
#pragma once

#include <vector>

#include "client/address.h"
#include "client/canceller.h"
#include "client/deadline.h"
#include "client/messages.h"
#include "client/receive_buffer.h"
#include "client/socket_table.h"
#include "wire/bytes.h"

namespace tlskeep {

class Connection {
 public:
  // Connects and says hello. @throws TransportError
  Connection(SocketTable& sockets, const Canceller& canceller, const Address& address, Deadline deadline);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // An id for the next request.
  std::uint32_t NextId() { return ++last_id_; }

  // Sends one whole frame and returns the answer to request `id`, which is valid until the next call.
  // @throws TransportError; the connection is of no use afterwards.
  Answer Exchange(std::uint32_t id, ByteView frame, Deadline deadline);

  SteadyClock::time_point opened() const { return opened_; }
  // Which tokens, by the numbers of their slots, this connection has proved the PIN of.
  bool LoggedIn(CK_SLOT_ID slot) const { return slot < logged_in_.size() && logged_in_[slot]; }
  void SetLoggedIn(CK_SLOT_ID slot, bool logged_in);
  // Gives back memory that only a long answer needed; none of that answer may be in use.
  void Shrink() noexcept { received_.Shrink(); }

 private:
  void Connect(const Address& address, Deadline deadline);
  void ConnectSocket(const void* address, std::size_t size, Deadline deadline);
  void AskForPort(std::uint32_t port, Deadline deadline);
  void Send(ByteView bytes, Deadline deadline);
  // Waits until `size` bytes at least have been received and not used up, and returns what there is.
  ByteView Receive(std::size_t size, Deadline deadline);
  std::size_t ReceiveSome(std::span<std::uint8_t> room, Deadline deadline);

  SocketTable& sockets_;
  const Canceller& canceller_;
  int fd_ = -1;
  SteadyClock::time_point opened_;
  std::uint32_t last_id_ = 0;
  std::vector<bool> logged_in_;  // a bit each: there may be 64 connections and 1,024 tokens
  ReceiveBuffer received_;
};

}  // namespace tlskeep
