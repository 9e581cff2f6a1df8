// The addon's private libcrypto: a library context of its own that reads no configuration file,
// registers no atexit handler and wipes every block of memory that it frees.
#pragma once

#include <openssl/types.h>

namespace tlskeep {

// The private context with the default provider loaded. Made on first use, shared by all threads,
// never freed. Throws AddonError "crypto-unavailable".
OSSL_LIB_CTX* CryptoLibrary();

}  // namespace tlskeep
