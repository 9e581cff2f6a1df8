// ECDSA over hash values on P-256 and P-384.
#pragma once

#include <cstdint>
#include <span>

namespace tlskeep {

// Signs on any thread. `private_key`: the number, lowest byte first, as long as the order of its curve
// (32 bytes: P-256, 48: P-384). `signature`, twice as long, is filled with r and s. False if libcrypto fails.
bool EcdsaSign(std::span<const std::uint8_t> private_key, std::span<const std::uint8_t> hash_value,
               std::span<std::uint8_t> signature);

}  // namespace tlskeep
