// A signing service for tests: speaks the protocol of PROTOCOL.md over a Unix socket with real keys, one
// thread per connection, and misbehaves on request.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "fake_wire.h"
#include "test_keys.h"
#include "wire/cbor.h"

namespace tlskeep::test {

// What goes wrong with the next answers. Each but kNone is used up by `Misbehave`'s count.
enum class Fault {
  kNone,
  kGarbage,         // a frame of bytes that are no CBOR of ours
  kClose,           // the connection closes without an answer
  kCloseMidFrame,   // after half the answer
  kOversized,       // a frame announced as longer than allowed
  kEmptyFrame,      // a frame announced as 0 bytes
  kWrongId,         // the answer to a request nobody made
  kTrailing,        // bytes after the answer
  kDeep,            // nested beyond what is allowed
  kHugeArray,       // an array announced as much longer than the frame
  kBusy,            // status busy
  kSilent,          // no answer at all
};

const char* FaultName(Fault fault);

struct FakeToken {
  std::string label;
  std::string pin;
  Key key;
  std::vector<Bytes> certificates;
  // Listed beside the current one, and signing.
  Key next;
  Key retiring;
};

FakeToken MakeFakeToken(const std::string& label, const std::string& pin, KeyKind kind);

class FakeEnclave {
 public:
  // Listens at once. With `hybrid_port` it expects `CONNECT <port>\n` first.
  explicit FakeEnclave(std::string path, std::uint32_t hybrid_port = 0);
  ~FakeEnclave();
  FakeEnclave(const FakeEnclave&) = delete;
  FakeEnclave& operator=(const FakeEnclave&) = delete;

  // Stop closes all connections, as an enclave that ends; Start listens again. Tokens stay unless cleared.
  void Start();
  void Stop();

  void Provision(FakeToken token);  // a label that is there gets the new key; its old one retires
  void Remove(const std::string& label);
  void Clear();

  void Misbehave(Fault fault, int times);
  // Delays every answer to a signature.
  void SetDelay(std::chrono::milliseconds delay) { delay_ms_ = delay.count(); }
  // Keeps the answers to signatures back until it is called with false.
  void HoldSignatures(bool hold);
  // Makes `list` answer with this many tokens a page.
  void SetPageSize(std::size_t tokens) { page_size_ = tokens; }

  // Closes connections beyond this many as soon as they are accepted.
  void SetLargestConnections(std::size_t connections) { largest_connections_ = connections; }

  // Serves under the usage policy `general` instead of `tls-server`.
  void SetGeneral(bool general) { general_ = general; }
  // Lists tokens as the first services did, without `hashes` and `decryptMechanisms`.
  void SetFirstEdition(bool first_edition) { first_edition_ = first_edition; }
  // Answers `sign` with this many bytes that are no signature, for tests of everything around it; 0 ends it.
  void SetFastSignature(std::size_t bytes) { fast_signature_ = bytes; }

  std::uint64_t connections() const { return connections_; }
  std::uint64_t requests(const std::string& op) const;

 private:
  struct Connection {
    int fd;
    std::atomic<bool> done = false;
    std::thread thread;
  };
  struct Session;

  void AcceptLoop(int listener);
  void Serve(Connection& connection);
  bool GreetHybrid(int fd);
  Bytes Answer(Session& session, ByteView body);
  Bytes AnswerList(std::uint64_t id, std::uint64_t offset) const;
  Bytes AnswerDecrypt(Session& session, std::uint64_t id, CborReader& reader);
  // The key of a fingerprint, or kUnknownKey or kLoginRequired.
  StatusCode FindKey(const Session& session, ByteView fingerprint, Key& key) const;
  Bytes AnswerSign(Session& session, std::uint64_t id, CborReader& reader);
  void SendAnswer(int fd, const std::string& op, Bytes answer);
  Fault NextFault();
  void WaitWhileHeld();

  const std::string path_;
  const std::uint32_t hybrid_port_;
  mutable std::mutex mutex_;
  std::vector<FakeToken> tokens_;
  std::uint64_t generation_;
  std::map<std::string, std::uint64_t> requests_;
  Fault fault_ = Fault::kNone;
  int fault_times_ = 0;
  std::atomic<std::int64_t> delay_ms_ = 0;
  std::mutex hold_mutex_;
  std::condition_variable released_;
  bool held_ = false;
  std::atomic<std::size_t> page_size_ = 1024;
  std::atomic<std::size_t> largest_connections_ = 1024;
  std::atomic<bool> general_ = false;
  std::atomic<bool> first_edition_ = false;
  std::atomic<std::size_t> fast_signature_ = 0;
  std::atomic<std::uint64_t> connections_ = 0;

  int listener_ = -1;
  std::thread accepting_;
  std::mutex connections_mutex_;
  std::vector<std::unique_ptr<Connection>> open_;
};

}  // namespace tlskeep::test
