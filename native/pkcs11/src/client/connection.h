// One connection to the signing service: connected, greeted, used by one thread at a time.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "bytes.h"
#include "client/address.h"
#include "client/canceller.h"
#include "client/deadline.h"
#include "client/messages.h"
#include "client/socket_table.h"

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
  // Which tokens this connection has proved the PIN of.
  bool LoggedIn(std::string_view label) const;
  void SetLoggedIn(std::string_view label, bool logged_in);

 private:
  void Connect(const Address& address, Deadline deadline);
  void ConnectSocket(const void* address, std::size_t size, Deadline deadline);
  void AskForPort(std::uint32_t port, Deadline deadline);
  void Send(ByteView bytes, Deadline deadline);
  // Has at least `size` bytes in received_ from position start_ on.
  void Receive(std::size_t size, Deadline deadline);

  SocketTable& sockets_;
  const Canceller& canceller_;
  int fd_ = -1;
  SteadyClock::time_point opened_;
  std::uint32_t last_id_ = 0;
  std::vector<std::string> logged_in_;
  Bytes received_;
  std::size_t start_ = 0;  // of what is not yet consumed
};

}  // namespace tlskeep
