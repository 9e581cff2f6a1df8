// The two hot messages of the signing protocol: reads `sign`, writes its answer.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "sign.h"
#include "wire/bytes.h"
#include "wire/frame.h"

namespace tlskeep {

// SHA-256 of a key's DER SubjectPublicKeyInfo.
inline constexpr std::size_t kFingerprintBytes = 32;
using Fingerprint = std::array<std::uint8_t, kFingerprintBytes>;

// A `sign` request; the view of its data is the payload's.
struct SignMessage {
  std::uint32_t id;
  Fingerprint fingerprint;
  SignRequest request;
};

// Reads a whole payload. Nothing unless it is a `sign` that a policy could admit: what is malformed, or
// has a mechanism or parameter that nobody knows, is for others to refuse by its name.
std::optional<SignMessage> ReadSignMessage(ByteView payload);

// Array of three, id, status, head of the byte string, signature.
inline constexpr std::size_t kMaxSignAnswer = kFrameHeaderBytes + 1 + 5 + 1 + 3 + kMaxRsaBits / 8;
using SignAnswerBuffer = std::array<std::uint8_t, kMaxSignAnswer>;

// Writes the frame `[id, 0, signature]`; the view is the buffer's.
ByteView WriteSignAnswer(std::uint32_t id, const Signature& signature, SignAnswerBuffer& buffer);

}  // namespace tlskeep
