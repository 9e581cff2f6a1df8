// PROTOCOL.md's `[id, "sign", fingerprint, mechanism, data, parameter]` and `[id, 0, signature]`.
#include "signing/sign_message.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "wire/cbor.h"
#include "wire/transport_error.h"

namespace tlskeep {
namespace {

constexpr std::size_t kSignElements = 6;
constexpr std::uint64_t kLargestId = 0xffff'ffff;
constexpr std::uint64_t kLargestSalt = 0xffff;

constexpr std::pair<std::string_view, Mechanism> kMechanisms[] = {
    {"ECDSA", Mechanism::kEcdsa},          {"RSA_PKCS_PSS", Mechanism::kRsaPkcsPss},
    {"RSA_PKCS", Mechanism::kRsaPkcs},     {"EDDSA", Mechanism::kEddsa},
    {"RSA_X_509", Mechanism::kRsaX509},
};
constexpr std::pair<std::string_view, Hash> kHashes[] = {
    {"SHA-256", Hash::kSha256}, {"SHA-384", Hash::kSha384}, {"SHA-512", Hash::kSha512},
    {"SHA-224", Hash::kSha224}, {"SHA-1", Hash::kSha1},
};

template <typename Value, std::size_t size>
std::optional<Value> Named(const std::pair<std::string_view, Value> (&names)[size],
                           std::string_view name) {
  const auto found =
      std::find_if(std::begin(names), std::end(names), [&](const auto& entry) { return entry.first == name; });
  if (found == std::end(names)) return std::nullopt;
  return found->second;
}

// False unless it is a parameter of the mechanism's form.
bool ReadParameter(CborReader& reader, SignRequest& request) {
  if (request.mechanism != Mechanism::kRsaPkcsPss) {
    reader.Null();
    return true;
  }
  if (reader.Array() != 2) return false;
  const std::optional<Hash> hash = Named(kHashes, reader.Text());
  const std::uint64_t salt_length = reader.Unsigned();
  if (!hash || salt_length > kLargestSalt) return false;
  request.hash = *hash;
  request.salt_length = static_cast<std::uint32_t>(salt_length);
  return true;
}

}  // namespace

std::optional<SignMessage> ReadSignMessage(ByteView payload) try {
  CborReader reader(payload);
  const std::size_t elements = reader.Array();
  const std::uint64_t id = reader.Unsigned();
  if (elements != kSignElements || id > kLargestId || reader.Text() != "sign") return std::nullopt;
  const ByteView fingerprint = reader.ByteString();
  const std::optional<Mechanism> mechanism = Named(kMechanisms, reader.Text());
  if (fingerprint.size() != kFingerprintBytes || !mechanism) return std::nullopt;
  SignMessage message{.id = static_cast<std::uint32_t>(id),
                      .fingerprint = {},
                      .request = {.mechanism = *mechanism, .data = reader.ByteString()}};
  std::copy(fingerprint.begin(), fingerprint.end(), message.fingerprint.begin());
  if (!ReadParameter(reader, message.request) || !reader.AtEnd()) return std::nullopt;
  return message;
} catch (const TransportError&) {
  return std::nullopt;
}

ByteView WriteSignAnswer(std::uint32_t id, const Signature& signature, SignAnswerBuffer& buffer) {
  std::size_t at = kFrameHeaderBytes;
  const auto put = [&](std::size_t byte) { buffer[at++] = static_cast<std::uint8_t>(byte); };
  const auto put_head = [&](std::size_t major, std::size_t value) {
    const std::size_t type = major << 5;
    if (value < 24) {
      put(type | value);
      return;
    }
    const int following = value <= 0xff ? 1 : value <= 0xffff ? 2 : 4;
    put(type | (following == 1 ? 24U : following == 2 ? 25U : 26U));
    for (int shift = (following - 1) * 8; shift >= 0; shift -= 8) put(value >> shift & 0xff);
  };
  put_head(4, 3);
  put_head(0, id);
  put_head(0, 0);
  put_head(2, signature.size);
  std::copy_n(signature.bytes.begin(), signature.size, buffer.begin() + static_cast<std::ptrdiff_t>(at));
  const std::size_t end = at + signature.size;
  const auto header = FrameHeader(end - kFrameHeaderBytes);
  std::copy(header.begin(), header.end(), buffer.begin());
  return {buffer.data(), end};
}

}  // namespace tlskeep
