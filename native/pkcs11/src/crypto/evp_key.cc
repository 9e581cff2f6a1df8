// Parses keys with libcrypto.
#include "crypto/evp_key.h"

#include <openssl/x509.h>

namespace tlskeep {

EvpKey ParseEvpKey(const Libcrypto& libcrypto, ByteView subject_public_key_info) {
  const unsigned char* position = subject_public_key_info.data();
  EvpKey key(d2i_PUBKEY_ex(nullptr, &position, static_cast<long>(subject_public_key_info.size()), libcrypto.context(),
                           nullptr));
  if (position != subject_public_key_info.data() + subject_public_key_info.size()) return nullptr;
  return key;
}

}  // namespace tlskeep
