// libcrypto's form of a public key, for the length of one operation.
#pragma once

#include <openssl/evp.h>

#include <memory>

#include "crypto/libcrypto.h"
#include "wire/bytes.h"

namespace tlskeep {

struct EvpKeyFree {
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
using EvpKey = std::unique_ptr<EVP_PKEY, EvpKeyFree>;

// From a DER SubjectPublicKeyInfo; null for anything else. The caller is in a LibcryptoCall.
EvpKey ParseEvpKey(const Libcrypto& libcrypto, ByteView subject_public_key_info);

}  // namespace tlskeep
