// Signs as PKCS #11 names it: RSA_PKCS, RSA_PKCS_PSS and ECDSA over a precomputed digest, EDDSA over
// a whole message, RSA_X_509 over a block of the caller's making.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hash.h"
#include "private_key.h"

namespace tlskeep {

// The numbers are those that signing-key.ts passes.
enum class Mechanism : std::uint32_t {
  kRsaPkcs = 0,
  kRsaPkcsPss = 1,
  kEcdsa = 2,
  kEddsa = 3,
  kRsaX509 = 4,
};
inline constexpr Mechanism kLastMechanism = Mechanism::kRsaX509;

struct SignRequest {
  Mechanism mechanism;
  Hash hash = Hash::kSha256;      // RSA_PKCS_PSS: of the message and of MGF1
  std::uint32_t salt_length = 0;  // RSA_PKCS_PSS, bytes
  // RSA_PKCS: DigestInfo. EDDSA: message. RSA_X_509: padded block. Else the hash value.
  std::span<const std::uint8_t> data;
};

struct Signature {
  std::size_t size = 0;
  // RSA: as long as the modulus. ECDSA: r and s, each as long as the curve's order. EDDSA: 64.
  std::array<std::uint8_t, kMaxRsaBits / 8> bytes;
};

// Throws AddonError `mechanism-mismatch` (not one of this key's mechanisms), `data-len-range`,
// `salt-len-range`, `data-invalid` (RSA_X_509: not below the modulus).
void CheckSignRequest(const PrivateKey& key, const SignRequest& request);

// Signs a checked request, on any thread. What a fault could turn into the private key is verified
// before it is released: RSA by libcrypto itself, EDDSA here. Throws AddonError `sign-failed`.
Signature Sign(const PrivateKey& key, const SignRequest& request);

}  // namespace tlskeep
