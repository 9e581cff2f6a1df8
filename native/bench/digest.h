// Hash values to sign, each another one, and the DigestInfo around them.
#pragma once

#include "signer.h"

namespace tlskeep::bench {

// What TLS servers sign over: SHA-384 for P-384, SHA-256 for all other keys.
constexpr std::size_t DigestBytes(KeyKind kind, int bits) { return kind == KeyKind::kEc && bits > 256 ? 48 : 32; }

// A hash value that none before it was: `counter` in bytes that are the same for all of them.
void FillDigest(std::uint64_t counter, Bytes& digest);

// DER DigestInfo (RFC 8017, 9.2) of a SHA-256 value.
Bytes Sha256DigestInfo(ByteView digest);

}  // namespace tlskeep::bench
