// The module's own copy of libcrypto: linked in and hidden, with a library context that reads no
// configuration. (A consumer's openssl.cnf may load this very module.)
#pragma once

#include <mutex>

#include "wire/bytes.h"

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

  // Across fork(): no other thread is in a LibcryptoCall in the child.
  void LockForFork() noexcept { gate_.lock(); }
  void UnlockAfterFork() noexcept { gate_.unlock(); }

 private:
  friend class LibcryptoCall;
  void Release() noexcept;

  std::mutex gate_;
  ossl_lib_ctx_st* context_ = nullptr;
  ossl_provider_st* provider_ = nullptr;
  evp_md_st* digests_[kHashAlgorithms] = {};
};

// Held around calls that take libcrypto's locks or leave state with the thread (errors, a random generator):
// one at a time. In the end it takes that state away, since the thread is the consumer's, and the state's
// destructor would be code that has been unloaded. Taking it away needs libcrypto's locks too.
class LibcryptoCall {
 public:
  explicit LibcryptoCall(Libcrypto& libcrypto) : lock_(libcrypto.gate_) {}
  ~LibcryptoCall();
  LibcryptoCall(const LibcryptoCall&) = delete;
  LibcryptoCall& operator=(const LibcryptoCall&) = delete;

 private:
  const std::lock_guard<std::mutex> lock_;
};

// Gives back all that libcrypto holds for the process. The module is being unloaded and no thread is in it.
void CleanUpLibcrypto() noexcept;

}  // namespace tlskeep
