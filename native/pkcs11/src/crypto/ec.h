// Verification with elliptic curve keys, with libcrypto.
#pragma once

#include "crypto/public_key.h"

namespace tlskeep {

// `signature` is r and s, each as long as the curve's order. Each is a LibcryptoCall.
bool VerifyEcdsa(Libcrypto& libcrypto, const PublicKey& key, ByteView digest, ByteView signature);
bool VerifyEddsa(Libcrypto& libcrypto, const PublicKey& key, ByteView message, ByteView signature);

}  // namespace tlskeep
