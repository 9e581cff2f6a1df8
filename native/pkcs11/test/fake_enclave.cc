// The service's side of PROTOCOL.md.
#include "fake_enclave.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <set>
#include <stdexcept>

#include "client/cbor.h"
#include "client/transport_error.h"

namespace tlskeep::test {
namespace {

constexpr std::size_t kLargestFrame = 65'536;

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
};

bool ReadAll(int fd, std::uint8_t* into, std::size_t size) {
  while (size > 0) {
    const ssize_t got = recv(fd, into, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    into += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

void WriteAll(int fd, ByteView bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return;
    bytes = bytes.subspan(static_cast<std::size_t>(sent));
  }
}

Bytes WithLength(ByteView body) {
  const std::size_t size = body.size();
  Bytes frame(4 + size);
  for (std::size_t i = 0; i < 4; ++i) frame[i] = static_cast<std::uint8_t>(size >> (24 - 8 * i));
  std::copy(body.begin(), body.end(), frame.begin() + 4);
  return frame;
}

Bytes Refusal(std::uint64_t id, StatusCode status) {
  CborWriter writer;
  writer.Array(2);
  writer.Unsigned(id);
  writer.Unsigned(status);
  return std::move(writer).Take();
}

CborWriter OkAnswer(std::uint64_t id) {
  CborWriter writer;
  writer.Array(3);
  writer.Unsigned(id);
  writer.Unsigned(kOk);
  return writer;
}

Bytes Bare(std::uint64_t id, std::uint64_t value) {
  CborWriter writer = OkAnswer(id);
  writer.Unsigned(value);
  return std::move(writer).Take();
}

bool IsRsa(const Key& key) { return EVP_PKEY_is_a(key.get(), "RSA") == 1; }

// The three DigestInfos of the usage policy: everything but the digest and its length is fixed.
bool IsDigestInfo(ByteView data) {
  struct Form {
    std::uint8_t hash_arc;
    std::uint8_t digest_bytes;
  };
  for (const Form form : {Form{1, 32}, Form{2, 48}, Form{3, 64}}) {
    const std::array<std::uint8_t, 19> head = {
        0x30, static_cast<std::uint8_t>(17 + form.digest_bytes), 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
        0x65, 0x03, 0x04, 0x02, form.hash_arc, 0x05, 0x00, 0x04, form.digest_bytes};
    if (data.size() == head.size() + form.digest_bytes && std::equal(head.begin(), head.end(), data.begin())) {
      return true;
    }
  }
  return false;
}

std::size_t DigestBytes(std::string_view hash) {
  if (hash == "SHA-256") return 32;
  if (hash == "SHA-384") return 48;
  if (hash == "SHA-512") return 64;
  return 0;
}

}  // namespace

struct FakeEnclave::Session {
  bool greeted = false;
  int wrong_pins = 0;
  std::set<std::string> logged_in;
  std::string op;
  bool close = false;
};

const char* FaultName(Fault fault) {
  switch (fault) {
    case Fault::kNone:
      return "None";
    case Fault::kGarbage:
      return "Garbage";
    case Fault::kClose:
      return "Close";
    case Fault::kCloseMidFrame:
      return "CloseMidFrame";
    case Fault::kOversized:
      return "Oversized";
    case Fault::kEmptyFrame:
      return "EmptyFrame";
    case Fault::kWrongId:
      return "WrongId";
    case Fault::kTrailing:
      return "Trailing";
    case Fault::kDeep:
      return "Deep";
    case Fault::kHugeArray:
      return "HugeArray";
    case Fault::kBusy:
      return "Busy";
    case Fault::kSilent:
      return "Silent";
  }
  return "Unknown";
}

FakeToken MakeFakeToken(const std::string& label, const std::string& pin, KeyKind kind) {
  FakeToken token;
  token.label = label;
  token.pin = pin;
  token.key = MakeKey(kind);
  token.certificates = MakeChain(token.key, "localhost");
  return token;
}

FakeEnclave::FakeEnclave(std::string path, std::uint32_t hybrid_port)
    : path_(std::move(path)),
      hybrid_port_(hybrid_port),
      generation_(static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                                 std::chrono::system_clock::now().time_since_epoch())
                                                 .count())) {
  Start();
}

FakeEnclave::~FakeEnclave() { Stop(); }

void FakeEnclave::Start() {
  unlink(path_.c_str());
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  std::memcpy(name.sun_path, path_.data(), std::min(path_.size(), sizeof name.sun_path - 1));
  if (bind(listener_, reinterpret_cast<sockaddr*>(&name), sizeof name) != 0 || listen(listener_, 128) != 0) {
    throw std::runtime_error("cannot listen on " + path_);
  }
  accepting_ = std::thread([this, listener = listener_] { AcceptLoop(listener); });
}

void FakeEnclave::Stop() {
  if (listener_ < 0) return;
  unlink(path_.c_str());
  shutdown(listener_, SHUT_RDWR);
  accepting_.join();
  close(listener_);
  listener_ = -1;
  const std::lock_guard lock(connections_mutex_);
  for (const auto& connection : open_) shutdown(connection->fd, SHUT_RDWR);
  for (const auto& connection : open_) {
    connection->thread.join();
    close(connection->fd);
  }
  open_.clear();
}

void FakeEnclave::Provision(FakeToken token) {
  const std::lock_guard lock(mutex_);
  ++generation_;
  const auto found = std::find_if(tokens_.begin(), tokens_.end(),
                                  [&](const FakeToken& known) { return known.label == token.label; });
  if (found != tokens_.end()) {
    token.retiring = found->key;
    *found = std::move(token);
    return;
  }
  tokens_.push_back(std::move(token));
  std::sort(tokens_.begin(), tokens_.end(),
            [](const FakeToken& a, const FakeToken& b) { return a.label < b.label; });
}

void FakeEnclave::Remove(const std::string& label) {
  const std::lock_guard lock(mutex_);
  ++generation_;
  std::erase_if(tokens_, [&](const FakeToken& token) { return token.label == label; });
}

void FakeEnclave::Clear() {
  const std::lock_guard lock(mutex_);
  generation_ += 1000;
  tokens_.clear();
}

void FakeEnclave::Misbehave(Fault fault, int times) {
  const std::lock_guard lock(mutex_);
  fault_ = fault;
  fault_times_ = times;
}

std::uint64_t FakeEnclave::requests(const std::string& op) const {
  const std::lock_guard lock(mutex_);
  const auto found = requests_.find(op);
  return found == requests_.end() ? 0 : found->second;
}

Fault FakeEnclave::NextFault() {
  const std::lock_guard lock(mutex_);
  if (fault_times_ <= 0) return Fault::kNone;
  --fault_times_;
  return fault_;
}

void FakeEnclave::AcceptLoop(int listener) {
  for (;;) {
    const int fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) {
      if (errno == EINTR || errno == ECONNABORTED) continue;
      return;
    }
    ++connections_;
    const std::lock_guard lock(connections_mutex_);
    std::erase_if(open_, [](const std::unique_ptr<Connection>& connection) {
      if (!connection->done) return false;
      connection->thread.join();
      close(connection->fd);
      return true;
    });
    if (open_.size() >= largest_connections_) {
      close(fd);
      continue;
    }
    auto& connection = open_.emplace_back(std::make_unique<Connection>());
    connection->fd = fd;
    connection->thread = std::thread([this, &served = *connection] { Serve(served); });
  }
}

bool FakeEnclave::GreetHybrid(int fd) {
  std::string line;
  std::uint8_t byte = 0;
  while (line.size() < 64 && ReadAll(fd, &byte, 1)) {
    line.push_back(static_cast<char>(byte));
    if (byte != '\n') continue;
    if (line != "CONNECT " + std::to_string(hybrid_port_) + "\n") return false;
    WriteAll(fd, AsBytes("OK 1073741824\n"));
    return true;
  }
  return false;
}

void FakeEnclave::Serve(Connection& connection) {
  const int fd = connection.fd;
  Session session;
  if (hybrid_port_ == 0 || GreetHybrid(fd)) {
    std::uint8_t header[4];
    while (!session.close && ReadAll(fd, header, sizeof header)) {
      const std::size_t size = std::size_t{header[0]} << 24 | std::size_t{header[1]} << 16 |
                               std::size_t{header[2]} << 8 | std::size_t{header[3]};
      if (size == 0 || size > kLargestFrame) break;
      Bytes body(size);
      if (!ReadAll(fd, body.data(), body.size())) break;
      SendAnswer(fd, session.op, Answer(session, body));
    }
  }
  // The descriptor is closed by the one who joins; here the peer learns that nothing more comes.
  shutdown(fd, SHUT_RDWR);
  connection.done = true;
}

Bytes FakeEnclave::Answer(Session& session, ByteView body) {
  std::uint64_t id = 0;
  try {
    CborReader reader(body);
    if (reader.Array() < 2) throw TransportError("too short");
    id = reader.Unsigned();
    session.op = std::string(reader.Text());
    const std::string& op = session.op;
    std::unique_lock lock(mutex_);
    ++requests_[op];
    if (op == "hello") {
      reader.Unsigned();
      session.greeted = true;
      return Bare(id, 1);
    }
    if (!session.greeted) return Refusal(id, kHelloRequired);
    if (op == "generation") return Bare(id, generation_);
    if (op == "list") {
      const std::uint64_t offset = reader.Unsigned();
      CborWriter writer = OkAnswer(id);
      writer.Array(3);
      writer.Unsigned(generation_);
      writer.Unsigned(tokens_.size());
      const std::size_t begin = std::min<std::size_t>(offset, tokens_.size());
      const std::size_t count = std::min<std::size_t>(tokens_.size() - begin, page_size_);
      writer.Array(count);
      for (std::size_t i = begin; i < begin + count; ++i) {
        const FakeToken& token = tokens_[i];
        writer.Map(5);
        writer.Text("label");
        writer.Text(token.label);
        writer.Text("certificates");
        writer.Array(token.certificates.size());
        for (const Bytes& der : token.certificates) writer.ByteString(der);
        writer.Text("publicKey");
        writer.ByteString(PublicKeyInfo(token.key));
        writer.Text("mechanisms");
        if (IsRsa(token.key)) {
          writer.Array(2);
          writer.Text("RSA_PKCS");
          writer.Text("RSA_PKCS_PSS");
        } else {
          writer.Array(1);
          writer.Text("ECDSA");
        }
        writer.Text("expires");
        writer.Unsigned(4'102'444'800);
      }
      return std::move(writer).Take();
    }
    if (op == "login") {
      const std::string label(reader.Text());
      const std::string pin(reader.Text());
      const auto found = std::find_if(tokens_.begin(), tokens_.end(),
                                      [&](const FakeToken& token) { return token.label == label; });
      if (found == tokens_.end()) return Refusal(id, kUnknownToken);
      if (found->pin != pin) {
        session.close = ++session.wrong_pins == 5;
        return Refusal(id, kPinIncorrect);
      }
      session.logged_in.insert(label);
      CborWriter writer = OkAnswer(id);
      writer.Null();
      return std::move(writer).Take();
    }
    if (op != "sign") return Refusal(id, kUnknownOp);
    lock.unlock();
    return AnswerSign(session, id, reader);
  } catch (const TransportError&) {
    session.close = id == 0;
    return Refusal(id, kMalformedRequest);
  }
}

Bytes FakeEnclave::AnswerSign(Session& session, std::uint64_t id, CborReader& reader) {
  const Bytes fingerprint = ToBytes(reader.ByteString());
  const std::string mechanism(reader.Text());
  const Bytes data = ToBytes(reader.ByteString());
  std::string hash;
  std::uint64_t salt = 0;
  if (mechanism == "RSA_PKCS_PSS") {
    if (reader.Array() != 2) throw TransportError("parameter");
    hash = reader.Text();
    salt = reader.Unsigned();
  } else {
    reader.Null();
  }
  if (!reader.AtEnd()) throw TransportError("trailing");

  Key key;
  std::string label;
  {
    const std::lock_guard lock(mutex_);
    for (const FakeToken& token : tokens_) {
      for (const Key& candidate : {token.key, token.retiring}) {
        if (candidate != nullptr && Sha("SHA256", PublicKeyInfo(candidate)) == fingerprint) {
          key = candidate;
          label = token.label;
        }
      }
    }
  }
  if (key == nullptr) return Refusal(id, kUnknownKey);
  if (!session.logged_in.contains(label)) return Refusal(id, kLoginRequired);

  Bytes signature;
  if (mechanism == "RSA_PKCS" && IsRsa(key)) {
    if (!IsDigestInfo(data)) return Refusal(id, kDataRefused);
    signature = SignRsaPkcs(key, data);
  } else if (mechanism == "RSA_PKCS_PSS" && IsRsa(key)) {
    if (DigestBytes(hash) == 0 || salt > static_cast<std::uint64_t>(EVP_PKEY_get_size(key.get()))) {
      return Refusal(id, kMechanismParamRefused);
    }
    if (data.size() != DigestBytes(hash)) return Refusal(id, kDataLenRange);
    signature = SignRsaPss(key, hash, static_cast<int>(salt), data);
  } else if (mechanism == "ECDSA" && !IsRsa(key)) {
    if (data.size() < 32 || data.size() > 64) return Refusal(id, kDataLenRange);
    signature = SignEcdsa(key, data);
  } else {
    return Refusal(id, kMechanismRefused);
  }
  if (signature.empty()) return Refusal(id, kMechanismParamRefused);
  CborWriter writer = OkAnswer(id);
  writer.ByteString(signature);
  return std::move(writer).Take();
}

void FakeEnclave::SendAnswer(int fd, const std::string& op, Bytes answer) {
  if (op == "sign" && delay_ms_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds(delay_ms_));
  Bytes frame = WithLength(answer);
  switch (NextFault()) {
    case Fault::kNone:
      break;
    case Fault::kGarbage:
      frame = WithLength(Bytes(answer.size(), 0xff));
      break;
    case Fault::kClose:
      shutdown(fd, SHUT_RDWR);
      return;
    case Fault::kCloseMidFrame:
      WriteAll(fd, ByteView(frame).first(frame.size() / 2));
      shutdown(fd, SHUT_RDWR);
      return;
    case Fault::kOversized:
      frame = {0x00, 0x01, 0x00, 0x01, 0x83};
      break;
    case Fault::kEmptyFrame:
      frame = {0, 0, 0, 0};
      break;
    case Fault::kWrongId: {
      CborWriter writer;
      writer.Array(3);
      writer.Unsigned(4'000'000'000);
      writer.Unsigned(0);
      writer.Null();
      frame = WithLength(writer.view());
      break;
    }
    case Fault::kTrailing:
      answer.push_back(0xf6);
      frame = WithLength(answer);
      break;
    case Fault::kDeep:
      frame = WithLength(Bytes(60'000, 0x81));
      break;
    case Fault::kHugeArray:
      frame = WithLength(Bytes{0x9b, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
      break;
    case Fault::kBusy: {
      CborReader reader(answer);
      reader.Array();
      frame = WithLength(Refusal(reader.Unsigned(), kBusyStatus));
      break;
    }
    case Fault::kSilent:
      return;
  }
  WriteAll(fd, frame);
}

}  // namespace tlskeep::test
