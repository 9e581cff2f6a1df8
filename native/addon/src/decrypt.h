// Decrypts with an RSA key, as PKCS #11 names it: RSA_PKCS, RSA_PKCS_OAEP and RSA_X_509.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hash.h"
#include "private_key.h"

namespace tlskeep {

// The numbers are those that signing-key.ts passes.
enum class DecryptMechanism : std::uint32_t { kRsaPkcs = 0, kRsaPkcsOaep = 1, kRsaX509 = 2 };
inline constexpr DecryptMechanism kLastDecryptMechanism = DecryptMechanism::kRsaX509;

struct DecryptRequest {
  DecryptMechanism mechanism;
  Hash hash = Hash::kSha256;      // RSA_PKCS_OAEP: of the label
  Hash mgf_hash = Hash::kSha256;  // RSA_PKCS_OAEP: of MGF1
  std::span<const std::uint8_t> label;
  std::span<const std::uint8_t> data;
};

// Wiped when it goes.
class Plaintext {
 public:
  Plaintext() = default;
  Plaintext(const Plaintext&) = delete;
  Plaintext& operator=(const Plaintext&) = delete;
  ~Plaintext();

  std::size_t size = 0;
  std::array<std::uint8_t, kMaxRsaBits / 8> bytes;
};

// Throws AddonError `mechanism-mismatch` (the key is not RSA), `encrypted-data-len-range` (not as
// long as the modulus), `encrypted-data-invalid` (not below the modulus).
void CheckDecryptRequest(const PrivateKey& key, const DecryptRequest& request);

// Decrypts a checked request, on any thread. Throws AddonError `encrypted-data-invalid` for a padding
// that is wrong in any way, `decrypt-failed`.
//
// How long it takes says no more about the padding than the outcome does: libcrypto removes both
// paddings without a branch or a memory access that depends on them, and blinds the exponentiation.
// The outcome itself tells a right padding from a wrong one, and a caller that passes it on makes
// an oracle of it (Bleichenbacher's attack). From OpenSSL 3.2 on, RSA_PKCS answers a wrong padding
// with a made-up plaintext instead ("implicit rejection", on unless turned off); Debian 12's 3.0
// has no such thing, in its own patches neither.
void Decrypt(const PrivateKey& key, const DecryptRequest& request, Plaintext& plaintext);

}  // namespace tlskeep
