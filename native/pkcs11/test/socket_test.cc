// A connection and what lies beneath it, the receive buffer and the table of sockets, against a service of this file.
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <numeric>
#include <thread>

#include "child_process.h"
#include "client/connection.h"
#include "client/receive_buffer.h"
#include "wire/transport_error.h"

namespace tlskeep {
namespace {

// Receives `bytes` in pieces of at most `piece`, as long as fewer than `wanted` are there.
void Fill(ReceiveBuffer& buffer, ByteView bytes, std::size_t wanted, std::size_t piece) {
  while (buffer.unused().size() < wanted) {
    const std::span<std::uint8_t> room = buffer.Room(wanted);
    ASSERT_GT(room.size(), 0U);
    const std::size_t size = std::min({room.size(), piece, bytes.size()});
    std::memcpy(room.data(), bytes.data(), size);
    buffer.Received(size);
    bytes = bytes.subspan(size);
  }
}

Bytes Counting(std::size_t size) {
  Bytes bytes(size);
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{1});
  return bytes;
}

TEST(ReceiveBuffer, KeepsWhatItReceivesInOrder) {
  for (const std::size_t size : {1U, 1023U, 1024U, 1025U, 5000U, 65'540U}) {
    for (const std::size_t piece : {1U, 7U, 1000U, 100'000U}) {
      ReceiveBuffer buffer;
      const Bytes bytes = Counting(size);
      Fill(buffer, bytes, size, piece);
      ASSERT_EQ(ToBytes(buffer.unused()), bytes) << size << " in pieces of " << piece;
    }
  }
}

TEST(ReceiveBuffer, TakesNoMoreThanTwiceWhatHasArrived) {
  ReceiveBuffer buffer;
  buffer.Room(65'540);
  EXPECT_EQ(buffer.capacity(), ReceiveBuffer::kKept);
  Fill(buffer, Counting(1025), 1025, 1025);
  buffer.Room(65'540);
  EXPECT_EQ(buffer.capacity(), 2 * ReceiveBuffer::kKept);
}

TEST(ReceiveBuffer, IsSmallAgainAfterALongAnswer) {
  ReceiveBuffer buffer;
  const Bytes page = Counting(60'000);
  Fill(buffer, page, page.size(), 4096);
  EXPECT_GE(buffer.capacity(), page.size());
  buffer.Use(page.size());
  buffer.Shrink();
  EXPECT_EQ(buffer.capacity(), 0U);
  const Bytes signature = Counting(300);
  Fill(buffer, signature, signature.size(), 300);
  EXPECT_EQ(ToBytes(buffer.unused()), signature);
  EXPECT_EQ(buffer.capacity(), ReceiveBuffer::kKept);
  buffer.Use(signature.size());
  buffer.Shrink();
  EXPECT_EQ(buffer.capacity(), ReceiveBuffer::kKept);
}

TEST(ReceiveBuffer, KeepsWhatIsLeftOver) {
  ReceiveBuffer buffer;
  const Bytes bytes = Counting(1500);
  Fill(buffer, bytes, bytes.size(), bytes.size());
  buffer.Use(1000);
  buffer.Shrink();
  EXPECT_EQ(ToBytes(buffer.unused()), ToBytes(ByteView(bytes).subspan(1000)));
  // What follows goes behind it.
  Bytes rest = ToBytes(ByteView(bytes).subspan(1000));
  const Bytes more = Counting(3000);
  rest.insert(rest.end(), more.begin(), more.end());
  Fill(buffer, more, rest.size(), 999);
  EXPECT_EQ(ToBytes(buffer.unused()), rest);
}

// Accepts one connection and sends `answers` at once, before anything is asked.
class HastyService {
 public:
  explicit HastyService(Bytes answers) {
    std::strcpy(directory_, "/tmp/tlskeep-socket-XXXXXX");
    if (mkdtemp(directory_) == nullptr) throw std::runtime_error("no directory");
    path_ = std::string(directory_) + "/s";
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    std::memcpy(name.sun_path, path_.data(), path_.size());
    if (bind(listener_, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0 || listen(listener_, 1) != 0) {
      throw std::runtime_error("cannot listen");
    }
    thread_ = std::thread([this, answers = std::move(answers)] {
      const int fd = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      send(fd, answers.data(), answers.size(), MSG_NOSIGNAL);
      char byte = 0;
      while (recv(fd, &byte, 1, 0) > 0) ++received_;
      close(fd);
    });
  }
  ~HastyService() {
    shutdown(listener_, SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
    close(listener_);
    unlink(path_.c_str());
    rmdir(directory_);
  }
  Address address() const { return UnixAddress{path_}; }
  // The bytes that came until the connection ended.
  std::size_t Received() {
    thread_.join();
    return received_;
  }

 private:
  char directory_[64];
  std::string path_;
  int listener_ = -1;
  std::size_t received_ = 0;
  std::thread thread_;
};

const Bytes kHelloAnswer = {0, 0, 0, 4, 0x83, 0x01, 0x00, 0x01};
const Bytes kGenerationAnswer = {0, 0, 0, 4, 0x83, 0x02, 0x00, 0x07};

Bytes Joined(Bytes first, const Bytes& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

TEST(Connection, TakesWhatIsThereEvenAtItsDeadline) {
  HastyService service(Joined(kHelloAnswer, kGenerationAnswer));
  SocketTable sockets;
  Canceller canceller;
  Connection connection(sockets, canceller, service.address(), Deadline::In(std::chrono::seconds(30)));
  const std::uint32_t id = connection.NextId();
  EXPECT_EQ(UnsignedResult(connection.Exchange(id, GenerationFrame(id), Deadline::In(std::chrono::milliseconds(0)))), 7U);
}

TEST(Connection, EndsAtAShortDeadline) {
  HastyService service(kHelloAnswer);
  SocketTable sockets;
  Canceller canceller;
  Connection connection(sockets, canceller, service.address(), Deadline::In(std::chrono::seconds(30)));
  const Deadline deadline = Deadline::In(std::chrono::milliseconds(30));
  const std::uint32_t id = connection.NextId();
  EXPECT_THROW(connection.Exchange(id, GenerationFrame(id), deadline), TransportError);
  EXPECT_TRUE(deadline.Passed());
}

TEST(Connection, KnowsALoginByItsSlot) {
  HastyService service(kHelloAnswer);
  SocketTable sockets;
  Canceller canceller;
  Connection connection(sockets, canceller, service.address(), Deadline::In(std::chrono::seconds(30)));
  EXPECT_FALSE(connection.LoggedIn(0));
  connection.SetLoggedIn(1000, true);
  EXPECT_TRUE(connection.LoggedIn(1000));
  EXPECT_FALSE(connection.LoggedIn(999));
  EXPECT_FALSE(connection.LoggedIn(1001));
  connection.SetLoggedIn(1000, false);
  EXPECT_FALSE(connection.LoggedIn(1000));
}

// This table has no fork handlers: its child has its parent's sockets.
TEST(SocketTable, ShutsDownNoSocketOfAnotherProcess) {
  HastyService service(Joined(kHelloAnswer, kGenerationAnswer));
  SocketTable sockets;
  Canceller canceller;
  {
    Connection connection(sockets, canceller, service.address(), Deadline::In(std::chrono::seconds(30)));
    const pid_t child = fork();
    if (child == 0) {
      sockets.ShutDownAll();
      _exit(0);
    }
    EXPECT_EQ(StatusOf(child), 0);
    const std::uint32_t id = connection.NextId();
    EXPECT_EQ(UnsignedResult(connection.Exchange(id, GenerationFrame(id), Deadline::In(std::chrono::seconds(30)))), 7U);
    sockets.ShutDownAll();
    EXPECT_THROW(connection.Exchange(3, GenerationFrame(3), Deadline::In(std::chrono::seconds(30))), TransportError);
  }
  EXPECT_EQ(service.Received(), HelloFrame(1).size() + GenerationFrame(2).size());
}

}  // namespace
}  // namespace tlskeep
