// Signs a precomputed digest: RSA_PKCS, RSA_PKCS_PSS and ECDSA, as PKCS #11 names them.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "private_key.h"

namespace tlskeep {

// The numbers are those that signing-key.ts passes.
enum class Mechanism : std::uint32_t { kRsaPkcs = 0, kRsaPkcsPss = 1, kEcdsa = 2 };
enum class Hash : std::uint32_t { kSha256 = 0, kSha384 = 1, kSha512 = 2 };

// Block type 1 padding takes at least 11 bytes (RFC 8017, 9.2).
inline constexpr std::size_t kMaxSignData = kMaxRsaBits / 8 - 11;

struct SignRequest {
  Mechanism mechanism;
  Hash hash = Hash::kSha256;       // RSA_PKCS_PSS: of the message and of MGF1
  std::uint32_t salt_length = 0;   // RSA_PKCS_PSS, bytes
  std::size_t data_size = 0;
  std::array<std::uint8_t, kMaxSignData> data;  // RSA_PKCS: DigestInfo; else the hash value
};

struct Signature {
  std::size_t size = 0;
  // RSA: as long as the modulus. ECDSA: r and s, each as long as the curve's order.
  std::array<std::uint8_t, kMaxRsaBits / 8> bytes;
};

// Throws AddonError `mechanism-mismatch` (not one of this key's mechanisms), `data-len-range`,
// `salt-len-range`.
void CheckSignRequest(const PrivateKey& key, const SignRequest& request);

// Signs a checked request, on any thread. An RSA signature is verified before it is released.
// Throws AddonError `sign-failed`.
Signature Sign(const PrivateKey& key, const SignRequest& request);

}  // namespace tlskeep
