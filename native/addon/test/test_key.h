// A key as the enclave holds it, and requests for its signatures as clients write them.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "private_key.h"
#include "signing/key_directory.h"
#include "test_keys.h"
#include "wire/bytes.h"

namespace tlskeep::test {

struct TestKey {
  KeyKind kind;
  Key pair;
  std::shared_ptr<const PrivateKey> held;
  Fingerprint fingerprint;
};

// Of one kind, made once per process.
const TestKey& KeyOf(KeyKind kind);
// A new P-256 key.
TestKey NewKey();

// The third parameter of `sign`, in CBOR.
Bytes NoParameter();
Bytes PssParameter(std::string_view hash, std::uint64_t salt_length);

// A `sign` request's payload.
Bytes SignPayload(std::uint64_t id, ByteView fingerprint, std::string_view mechanism, ByteView data,
                  ByteView parameter = NoParameter());
// For `count` bytes of data by which it can be told from others.
Bytes EcdsaPayload(std::uint32_t id, const TestKey& key, std::size_t count = 32);
Bytes EcdsaData(std::uint32_t id, std::size_t count = 32);

// DER DigestInfo of the hash value (RFC 8017, 9.2) as libcrypto encodes it; `hash` as OpenSSL names it.
Bytes DigestInfo(const char* hash, ByteView value);

// What the two policies admit (PROTOCOL.md) of a key's signatures.
SigningRules TlsServerRules(KeyKind kind);
SigningRules GeneralRules(KeyKind kind);
constexpr std::uint32_t Bit(Mechanism mechanism) { return 1U << static_cast<std::uint32_t>(mechanism); }
constexpr std::uint32_t Bit(Hash hash) { return 1U << static_cast<std::uint32_t>(hash); }

KeyDirectory::Entry EntryFor(const TestKey& key);

}  // namespace tlskeep::test
