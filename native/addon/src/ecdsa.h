// ECDSA over hash values on P-256 and P-384.
#pragma once

#include <openssl/types.h>

#include <cstdint>
#include <span>

namespace tlskeep {

// Signs on any thread with a private key, the number of `order_bits` bits (256: P-256, 384: P-384).
// `signature` is filled with r and s, each half of its length, which is twice the order's. False if
// libcrypto fails.
bool EcdsaSign(int order_bits, const BIGNUM* private_key, std::span<const std::uint8_t> hash_value,
               std::span<std::uint8_t> signature);

}  // namespace tlskeep
