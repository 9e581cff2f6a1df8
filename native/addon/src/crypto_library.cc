// Opens the private libcrypto and gives it an allocator that wipes what it frees.
#include "crypto_library.h"

#include <malloc.h>
#include <openssl/crypto.h>
#include <openssl/provider.h>
#include <string.h>

#include <algorithm>
#include <cstdlib>

#include "addon_error.h"

namespace tlskeep {
namespace {

// libcrypto clears most key material itself, but not the PEM and DER text that a private key
// passes through while it is parsed. This copy of libcrypto is ours alone, so its allocator may
// clear everything: nothing that it frees is left behind in the heap.
void* Allocate(size_t size, const char*, int) { return std::malloc(size); }

void Free(void* block, const char*, int) {
  if (block == nullptr) return;
  explicit_bzero(block, malloc_usable_size(block));
  std::free(block);
}

void* Reallocate(void* block, size_t size, const char* file, int line) {
  if (block == nullptr) return Allocate(size, file, line);
  if (size == 0) {
    Free(block, file, line);
    return nullptr;
  }
  void* moved = std::malloc(size);
  if (moved == nullptr) return nullptr;
  memcpy(moved, block, std::min(size, malloc_usable_size(block)));
  Free(block, file, line);
  return moved;
}

OSSL_LIB_CTX* Open() {
  // Refused once anything was allocated: then some other code has used this copy before us.
  if (CRYPTO_set_mem_functions(Allocate, Reallocate, Free) != 1) return nullptr;
  if (OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CONFIG, nullptr) != 1) {
    return nullptr;
  }
  OSSL_LIB_CTX* context = OSSL_LIB_CTX_new();
  if (context == nullptr || OSSL_PROVIDER_load(context, "default") == nullptr) return nullptr;
  return context;
}

}  // namespace

OSSL_LIB_CTX* CryptoLibrary() {
  static OSSL_LIB_CTX* const context = Open();
  if (context == nullptr) {
    throw AddonError("crypto-unavailable", "libcrypto could not be initialised");
  }
  return context;
}

}  // namespace tlskeep
