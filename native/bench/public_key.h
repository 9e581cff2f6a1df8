// The key that signatures are verified by.
#pragma once

#include <string>

#include "evp.h"

namespace tlskeep::bench {

class PublicKey {
 public:
  // @param path PEM of a SubjectPublicKeyInfo. @throws BenchError
  static PublicKey FromFile(const std::string& path);

  KeyKind kind() const { return KindOf(key_); }
  int bits() const { return EVP_PKEY_get_bits(key_.get()); }
  std::size_t signature_bytes() const;

  bool Verifies(ByteView digest, ByteView signature, Padding padding) const;

 private:
  explicit PublicKey(EvpKey key) : key_(std::move(key)) {}
  EvpKey key_;
};

// Sets what both sides of an RSA signature have to agree on. @throws BenchError
void SetRsaPadding(EVP_PKEY_CTX* context, Padding padding);

}  // namespace tlskeep::bench
