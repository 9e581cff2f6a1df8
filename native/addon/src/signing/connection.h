// One connection of the signing service, on a socket of its own: reads frames, signs what the directory
// admits on the thread that read it, and hands every other request to the owner.
//
// One thread at a time serves it: its epoll registration is a one-shot, armed again at the end of a turn.
// A turn goes on for a moment when the client asks one request right behind the other, and another thread is
// there for all other connections: to put this thread to sleep and wake it up takes longer than to sign.
// While a request is with the owner, nothing further is read.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <vector>

#include "signing/key_directory.h"
#include "signing/latency.h"
#include "unique_fd.h"
#include "wire/bytes.h"

namespace tlskeep {

using ConnectionId = std::uint64_t;

// Why nothing more is read from a connection.
enum class EndReason : std::uint32_t {
  kEnded = 0,           // the peer ended its side
  kFrameTruncated = 1,  // it did so inside a frame
  kFrameTooLarge = 2,
  kFrameEmpty = 3,
};

// The owner of connections; called on any thread, with no lock of theirs held.
class ConnectionOwner {
 public:
  // A request to answer by Send(). Nothing more comes from the connection before its Consumed().
  virtual void OnRequest(ConnectionId id, Bytes payload) = 0;
  // The last thing that is read from a connection. It is open until the owner closes it.
  virtual void OnEnd(ConnectionId id, EndReason reason) = 0;
  // The descriptor is closed: the last call for a connection.
  virtual void OnClosed(ConnectionId id) = 0;

 protected:
  ~ConnectionOwner() = default;
};


class Connection {
 public:
  struct Service {
    const KeyDirectory& directory;
    LatencyHistogram& latency;
    ConnectionOwner& owner;
    int epoll;
    // Threads that wait for whatever becomes ready next.
    const std::atomic<unsigned>& idle_threads;
    // How soon behind an answer a client's next request comes that is waited for.
    std::chrono::microseconds busy_poll;
  };
  // Room for one read, a thread's own.
  using Scratch = std::array<std::uint8_t, 64 * 1024>;

  Connection(const Service& service, ConnectionId id, UniqueFd fd);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  // Begins to wait for requests. Throws AddonError if the socket cannot be waited for.
  void Start();
  // One turn, on the thread that epoll woke with `events`.
  void Serve(std::uint32_t events, Scratch& scratch);

  // Closes at once, after a turn that had no memory to end.
  void Abandon();

  // The owner's, on any thread.

  // Sends one frame. While the peer does not read its answers, nothing more is read from it.
  void Send(ByteView payload);
  // From now on, signatures may be asked for.
  void Greet();
  // From now on, keys behind this gate may be used.
  void Prove(std::uint32_t gate);
  // The owner has taken the request that it was handed last.
  void Consumed();
  void Pause();
  void Resume();
  // Sends what was sent, then closes.
  void Close();
  // Closes at once.
  void Destroy();

 private:
  // Under mutex_.
  bool MayRead() const;
  void Write(ByteView frame);
  void Flush();
  // Waits for what is to happen next; true if nothing will, and the connection is closed then.
  bool ArmOrClose();
  // Runs a change by the owner; a thread that is serving will see it at the end of its turn.
  template <typename Change>
  void Apply(Change&& change);

  // Of the serving thread.
  void Read(Scratch& scratch);
  // Takes what the socket has; false if that is nothing.
  bool Receive(Scratch& scratch);
  // Asks the socket again and again while a request may come soon; false if none did.
  bool BusyPoll(Scratch& scratch);
  // Serves whole frames at the beginning of in_.
  void ServeKept();
  // Serves whole frames at the beginning of `input`; returns how many bytes these were.
  std::size_t ServeFrames(ByteView input);
  // Answers a request for a signature that the directory admits; false for any other.
  bool Sign(ByteView payload);
  void End(EndReason reason);

  const Service& service_;
  const ConnectionId id_;

  // Of the serving thread: the start of a frame, or frames for which a turn had no time left.
  Bytes in_;
  std::chrono::steady_clock::time_point signed_{};  // when it last did
  bool in_a_row_ = false;                           // whether that request had come soon behind the one before

  std::mutex mutex_;
  UniqueFd fd_;
  Bytes out_;  // what the socket had no room for
  std::vector<std::uint32_t> gates_;  // proved, ascending: a thousand are a few cache lines
  bool greeted_ = false;
  bool serving_ = false;
  bool has_frames_ = false;  // in_ begins with a whole one
  bool with_owner_ = false;
  bool paused_ = false;
  bool ended_ = false;
  bool closing_ = false;
  bool broken_ = false;
  bool destroyed_ = false;
};

}  // namespace tlskeep
