// Real key pairs and certificates, made by libcrypto when a test or a fake enclave starts.
#pragma once

#include <openssl/evp.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "wire/bytes.h"

namespace tlskeep::test {

enum class KeyKind { kRsa2048, kRsa3072, kRsa4096, kP256, kP384, kEd25519 };

struct KeyFree {
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
using Key = std::shared_ptr<EVP_PKEY>;

// A new pair; RSA from $TLSKEEP_TEST_KEYS/rsa2048.pem and the like where that is set.
Key MakeKey(KeyKind kind);
// Of "rsa2048", "rsa3072", "rsa4096", "p256", "p384" or "ed25519". @throws std::invalid_argument
KeyKind KeyKindNamed(const std::string& name);
std::string KeyKindName(KeyKind kind);
Bytes PublicKeyInfo(const Key& key);

// A leaf for `key` with the common name and DNS name `host`, then the CA certificate that signed it.
// The CA's key is made once per process.
std::vector<Bytes> MakeChain(const Key& key, const std::string& host);

// The chain as PEM text, for a server's configuration.
std::string ChainPem(const std::vector<Bytes>& chain);

Bytes Sha(const char* name, ByteView data);

// The private operations as the enclave does them. Empty if the key or the data cannot be used so.
Bytes SignRsaPkcs(const Key& key, ByteView digest_info);
Bytes SignRsaPss(const Key& key, const std::string& hash, int salt_bytes, ByteView digest);
Bytes SignRsaRaw(const Key& key, ByteView data);
Bytes SignEcdsa(const Key& key, ByteView digest);
Bytes SignEddsa(const Key& key, ByteView message);

// A mechanism of PROTOCOL.md's `decrypt`, with OAEP's parameter.
struct RsaPadding {
  std::string mechanism;
  std::string hash;
  std::string mgf_hash;
  Bytes label;
};
std::optional<Bytes> DecryptRsa(const Key& key, const RsaPadding& padding, ByteView encrypted);

// Verify what PKCS #11 returns over a message.
bool VerifyRsaPkcs(const Key& key, const char* hash, ByteView message, ByteView signature);
bool VerifyRsaPss(const Key& key, const char* hash, int salt_bytes, ByteView message, ByteView signature);
bool VerifyEddsa(const Key& key, ByteView message, ByteView signature);
bool VerifyEcdsa(const Key& key, ByteView digest, ByteView signature);

}  // namespace tlskeep::test
