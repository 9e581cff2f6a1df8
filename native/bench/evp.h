// libcrypto's objects, owned.
#pragma once

#include <openssl/evp.h>

#include <memory>

#include "signer.h"

namespace tlskeep::bench {

struct EvpDeleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
using EvpKey = std::unique_ptr<EVP_PKEY, EvpDeleter>;
using EvpContext = std::unique_ptr<EVP_PKEY_CTX, EvpDeleter>;

inline KeyKind KindOf(const EvpKey& key) {
  return EVP_PKEY_is_a(key.get(), "RSA") == 1 ? KeyKind::kRsa : KeyKind::kEc;
}

}  // namespace tlskeep::bench
