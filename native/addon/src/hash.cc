// Names and lengths of hash functions, and libcrypto's implementations of them.
#include "hash.h"

#include "addon_error.h"
#include "crypto_library.h"

namespace tlskeep {
namespace {

const char* HashName(Hash hash) {
  switch (hash) {
    case Hash::kSha1:
      return "SHA1";
    case Hash::kSha224:
      return "SHA2-224";
    case Hash::kSha256:
      return "SHA2-256";
    case Hash::kSha384:
      return "SHA2-384";
    case Hash::kSha512:
      return "SHA2-512";
  }
  throw AddonError("invalid-argument", "unknown hash");
}

}  // namespace

std::size_t HashBytes(Hash hash) {
  switch (hash) {
    case Hash::kSha1:
      return 20;
    case Hash::kSha224:
      return 28;
    case Hash::kSha256:
      return 32;
    case Hash::kSha384:
      return 48;
    case Hash::kSha512:
      return 64;
  }
  throw AddonError("invalid-argument", "unknown hash");
}

Digest FetchDigest(Hash hash) {
  return Digest(EVP_MD_fetch(CryptoLibrary(), HashName(hash), nullptr));
}

}  // namespace tlskeep
