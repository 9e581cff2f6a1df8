// The module's own copy of libcrypto: linked in and hidden, with a library context that reads no
// configuration. (A consumer's openssl.cnf may load this very module.)
#pragma once

#include <mutex>

#include "bytes.h"

struct evp_md_st;
struct ossl_lib_ctx_st;
struct ossl_provider_st;

namespace tlskeep {

enum class HashAlgorithm { kSha1, kSha224, kSha256, kSha384, kSha512 };
inline constexpr std::size_t kHashAlgorithms = 5;
inline constexpr HashAlgorithm kAllHashes[kHashAlgorithms] = {HashAlgorithm::kSha1, HashAlgorithm::kSha224,
                                                              HashAlgorithm::kSha256, HashAlgorithm::kSha384,
                                                              HashAlgorithm::kSha512};

std::size_t HashBytes(HashAlgorithm algorithm);
// Its name in PROTOCOL.md: "SHA-1", "SHA-224", …
const char* HashName(HashAlgorithm algorithm);

class Libcrypto {
 public:
  // @throws std::runtime_error if libcrypto does not start.
  Libcrypto();
  ~Libcrypto();
  Libcrypto(const Libcrypto&) = delete;
  Libcrypto& operator=(const Libcrypto&) = delete;

  ossl_lib_ctx_st* context() const { return context_; }
  // Fetched once: hashing with it takes no lock of libcrypto's, which another thread's fork() could
  // leave locked in the child.
  const evp_md_st* digest(HashAlgorithm algorithm) const { return digests_[static_cast<std::size_t>(algorithm)]; }

  // Held around calls that do take libcrypto's locks, and across fork().
  std::mutex& gate() { return gate_; }

 private:
  void Release() noexcept;

  std::mutex gate_;
  ossl_lib_ctx_st* context_ = nullptr;
  ossl_provider_st* provider_ = nullptr;
  evp_md_st* digests_[kHashAlgorithms] = {};
};

// Leaves none of libcrypto's per-thread state behind in a thread that is the consumer's: its destructor
// would be code that has been unloaded.
class LibcryptoThread {
 public:
  LibcryptoThread() = default;
  ~LibcryptoThread();
  LibcryptoThread(const LibcryptoThread&) = delete;
  LibcryptoThread& operator=(const LibcryptoThread&) = delete;
};

// Gives back all that libcrypto holds for the process. The module is being unloaded and no thread is in it.
void CleanUpLibcrypto() noexcept;

}  // namespace tlskeep
