// Encodes requests and checks answers against the schema of PROTOCOL.md.
#include "client/messages.h"

#include <algorithm>
#include <array>

#include "error.h"
#include "wire/transport_error.h"

namespace tlskeep {
namespace {

constexpr std::size_t kLargestCertificate = 8 * 1024;
constexpr std::size_t kLargestNames = 64;

[[noreturn]] void Malformed(const char* what) { throw TransportError(std::string("malformed answer: ") + what); }

// A caller's data may be of any size; what no frame can carry, no mechanism could sign either.
void RequireFrame(std::size_t size) {
  if (size > kLargestFrame) throw Pkcs11Error(CKR_DATA_LEN_RANGE, "request larger than a frame");
}

std::array<std::uint8_t, kFrameHeaderBytes> RequestHeader(std::size_t size) {
  RequireFrame(size);
  return FrameHeader(size);
}

// Any request but for what a caller brings along: names, a fingerprint, heads.
constexpr std::size_t kUsualRequest = 128;

// Fills in the room that Request left.
Bytes Frame(CborWriter&& writer) {
  Bytes frame = std::move(writer).Take();
  const auto header = RequestHeader(frame.size() - kFrameHeaderBytes);
  std::copy(header.begin(), header.end(), frame.begin());
  return frame;
}

// `brought`: how many bytes will come on top of kUsualRequest.
CborWriter Request(std::uint32_t id, const char* op, std::size_t arguments, std::size_t brought = 0) {
  CborWriter writer(kFrameHeaderBytes, kUsualRequest + brought);
  writer.Array(2 + arguments);
  writer.Unsigned(id);
  writer.Text(op);
  return writer;
}

void EndOfAnswer(const Answer& answer) {
  if (!answer.result.AtEnd()) Malformed("bytes after the result");
}

std::vector<Bytes> ReadCertificates(CborReader& reader) {
  std::vector<Bytes> certificates;
  for (std::size_t left = reader.Array(); left > 0; --left) {
    const ByteView der = reader.ByteString();
    if (der.empty() || der.size() > kLargestCertificate) Malformed("certificate of a wrong size");
    certificates.push_back(ToBytes(der));
  }
  return certificates;
}

std::vector<std::string> ReadNames(CborReader& reader) {
  const std::size_t count = reader.Array();
  if (count > kLargestNames) Malformed("too many names");
  std::vector<std::string> names;
  for (std::size_t left = count; left > 0; --left) names.emplace_back(reader.Text());
  return names;
}

// Where the values of a token's map stand: [id, status, [generation, total, [{key: here
constexpr int kTokenDepth = 5;
// And of a further key's: [{key: here
constexpr int kFurtherKeyDepth = kTokenDepth + 2;

// Reads a map of distinct keys; `value` says whether it took the value of a key, and what a later version of
// the service adds is left out.
template <typename Value>
void ReadMap(CborReader& reader, int depth, Value value) {
  std::vector<std::string_view> seen;
  for (std::size_t left = reader.Map(); left > 0; --left) {
    const std::string_view key = reader.Text();
    if (std::find(seen.begin(), seen.end(), key) != seen.end()) Malformed("a key twice in a map");
    seen.push_back(key);
    if (!value(key)) reader.Skip(depth);
  }
}

bool ReadKeyValue(CborReader& reader, std::string_view name, ListedKey& key) {
  if (name == "publicKey") {
    key.public_key = ToBytes(reader.ByteString());
  } else if (name == "mechanisms") {
    key.mechanisms = ReadNames(reader);
  } else if (name == "hashes") {
    key.hashes = ReadNames(reader);
  } else if (name == "decryptMechanisms") {
    key.decrypt_mechanisms = ReadNames(reader);
  } else {
    return false;
  }
  return true;
}

std::vector<FurtherKey> ReadFurtherKeys(CborReader& reader) {
  std::vector<FurtherKey> keys;
  for (std::size_t left = reader.Array(); left > 0; --left) {
    FurtherKey key{};
    ReadMap(reader, kFurtherKeyDepth, [&](std::string_view name) {
      if (name != "state") return ReadKeyValue(reader, name, key);
      key.state = reader.Text();
      return true;
    });
    if (key.state.empty() || key.state.size() > kLargestKeyState) Malformed("state of a key of a wrong size");
    if (key.public_key.empty()) Malformed("key without a public key");
    keys.push_back(std::move(key));
  }
  return keys;
}

ListedToken ReadToken(CborReader& reader) {
  ListedToken token{};
  ReadMap(reader, kTokenDepth, [&](std::string_view name) {
    if (name == "label") {
      token.label = reader.Text();
    } else if (name == "certificates") {
      token.certificates = ReadCertificates(reader);
    } else if (name == "furtherKeys") {
      token.further_keys = ReadFurtherKeys(reader);
    } else if (name == "expires") {
      token.expires = reader.Unsigned();
    } else {
      return ReadKeyValue(reader, name, token);
    }
    return true;
  });
  if (token.label.empty() || token.label.size() > kLargestLabel) Malformed("token label of a wrong size");
  if (token.public_key.empty()) Malformed("token without a public key");
  return token;
}

}  // namespace

Bytes HelloFrame(std::uint32_t id) {
  CborWriter writer = Request(id, "hello", 1);
  writer.Unsigned(kProtocolVersion);
  return Frame(std::move(writer));
}

Bytes GenerationFrame(std::uint32_t id) { return Frame(Request(id, "generation", 0)); }

Bytes ListFrame(std::uint32_t id, std::uint64_t offset) {
  CborWriter writer = Request(id, "list", 1);
  writer.Unsigned(offset);
  return Frame(std::move(writer));
}

Secret LoginFrame(std::uint32_t id, std::string_view label, ByteView pin) {
  CborWriter writer = Request(id, "login", 2);
  writer.Text(label);
  writer.TextHead(pin.size());
  // The PIN goes into the secret alone, past the writer's heap buffer.
  const ByteView content = writer.view().subspan(kFrameHeaderBytes);
  const auto header = RequestHeader(content.size() + pin.size());
  Secret frame(header.size() + content.size() + pin.size());
  frame.Append(header);
  frame.Append(content);
  frame.Append(pin);
  return frame;
}

Bytes KeyFrame(std::uint32_t id, const KeyRequest& request) {
  // What no frame can carry is refused before it is copied.
  const auto* oaep = std::get_if<OaepParameter>(&request.parameter);
  const std::size_t brought = request.data.size() + (oaep != nullptr ? oaep->label.size() : 0);
  RequireFrame(brought);
  CborWriter writer = Request(id, request.op, 4, brought);
  writer.ByteString(request.fingerprint);
  writer.Text(request.mechanism);
  writer.ByteString(request.data);
  if (const auto* pss = std::get_if<PssParameter>(&request.parameter)) {
    writer.Array(2);
    writer.Text(pss->hash);
    writer.Unsigned(pss->salt_bytes);
  } else if (oaep != nullptr) {
    writer.Array(3);
    writer.Text(oaep->hash);
    writer.Text(oaep->mgf_hash);
    writer.ByteString(oaep->label);
  } else {
    writer.Null();
  }
  return Frame(std::move(writer));
}

Bytes RandomFrame(std::uint32_t id, std::size_t size) {
  CborWriter writer = Request(id, "random", 1);
  writer.Unsigned(size);
  return Frame(std::move(writer));
}

Answer OpenAnswer(ByteView body) {
  CborReader reader(body);
  const std::size_t elements = reader.Array();
  if (elements < 2) Malformed("too few elements");
  const std::uint64_t id = reader.Unsigned();
  const auto status = FindStatus(reader.Unsigned());
  if (!status) Malformed("unknown status");
  if (status->status == Status::kOk) {
    if (elements != 3) Malformed("an ok answer without a result");
  } else {
    for (std::size_t left = elements - 2; left > 0; --left) reader.Skip(2);
    if (!reader.AtEnd()) Malformed("bytes after the answer");
  }
  return {id, *status, reader};
}

std::uint64_t UnsignedResult(Answer answer) {
  const std::uint64_t value = answer.result.Unsigned();
  EndOfAnswer(answer);
  return value;
}

void NullResult(Answer answer) {
  answer.result.Null();
  EndOfAnswer(answer);
}

Bytes BytesResult(Answer answer) {
  Bytes bytes = ToBytes(answer.result.ByteString());
  EndOfAnswer(answer);
  return bytes;
}

ListPage ListResult(Answer answer) {
  CborReader& reader = answer.result;
  if (reader.Array() != 3) Malformed("a list page that is not [generation, total, tokens]");
  ListPage page{};
  page.generation = reader.Unsigned();
  page.total = reader.Unsigned();
  if (page.total > kLargestTokens) Malformed("more tokens than an enclave holds");
  for (std::size_t left = reader.Array(); left > 0; --left) page.tokens.push_back(ReadToken(reader));
  EndOfAnswer(answer);
  return page;
}

}  // namespace tlskeep
