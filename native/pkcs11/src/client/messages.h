// The requests and answers of the signing service as values; PROTOCOL.md describes their bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "protocol_status.h"
#include "secret.h"
#include "wire/bytes.h"
#include "wire/cbor.h"
#include "wire/frame.h"

namespace tlskeep {

inline constexpr std::uint64_t kProtocolVersion = 1;
inline constexpr std::size_t kFingerprintBytes = 32;
inline constexpr std::size_t kLargestLabel = 32;
inline constexpr std::size_t kLargestTokens = 1024;
inline constexpr std::size_t kLargestKeyState = 16;

inline constexpr std::size_t kLargestRandom = 1024;

// The parameters of mechanisms; hashes by HashName.
struct PssParameter {
  const char* hash;
  std::uint64_t salt_bytes;
};
struct OaepParameter {
  const char* hash;
  const char* mgf_hash;
  Bytes label;
};
using KeyParameter = std::variant<std::monostate, PssParameter, OaepParameter>;

// A request that needs a private key. It refers to what it is made of, which must outlive it.
struct KeyRequest {
  const char* op;  // "sign" or "decrypt"
  // The token whose PIN opens the key. A slot belongs to one label for good.
  CK_SLOT_ID slot;
  std::string_view label;
  ByteView fingerprint;  // SHA-256 of the SubjectPublicKeyInfo
  const char* mechanism;
  ByteView data;
  const KeyParameter& parameter;
};

// A key as the enclave lists it: DER, not yet parsed, and what it may be used for.
struct ListedKey {
  Bytes public_key;
  std::vector<std::string> mechanisms;
  // Names, and none given by a service that does not know the key yet.
  std::optional<std::vector<std::string>> hashes;
  std::vector<std::string> decrypt_mechanisms;

  bool operator==(const ListedKey&) const = default;
};

// A key of a token beside its current one: `next` before a renewal takes effect, `retiring` after it.
struct FurtherKey : ListedKey {
  std::string state;

  bool operator==(const FurtherKey&) const = default;
};

// A token with its current key; certificates are DER, not yet parsed.
struct ListedToken : ListedKey {
  std::string label;
  std::vector<Bytes> certificates;
  std::vector<FurtherKey> further_keys;
  std::uint64_t expires;  // seconds since the epoch

  bool operator==(const ListedToken&) const = default;
};

struct ListPage {
  std::uint64_t generation;
  std::uint64_t total;
  std::vector<ListedToken> tokens;
};

// Each is a whole frame: length, then the CBOR array.
Bytes HelloFrame(std::uint32_t id);
Bytes GenerationFrame(std::uint32_t id);
Bytes ListFrame(std::uint32_t id, std::uint64_t offset);
Secret LoginFrame(std::uint32_t id, std::string_view label, ByteView pin);
Bytes KeyFrame(std::uint32_t id, const KeyRequest& request);
// `size`: 1 to kLargestRandom.
Bytes RandomFrame(std::uint32_t id, std::size_t size);

// An answer whose array has been opened: `status`, and for ok the reader stands before the result.
struct Answer {
  std::uint64_t id;
  StatusEntry status;
  CborReader result;
};

// These throw TransportError for bytes that PROTOCOL.md does not allow. `body` is a frame without its
// length and must outlive the answer.
Answer OpenAnswer(ByteView body);
std::uint64_t UnsignedResult(Answer answer);
void NullResult(Answer answer);
Bytes BytesResult(Answer answer);
ListPage ListResult(Answer answer);

}  // namespace tlskeep
