// The hash functions of RSA_PKCS_PSS and RSA_PKCS_OAEP.
#pragma once

#include <openssl/evp.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace tlskeep {

// The numbers are those that signing-key.ts passes.
enum class Hash : std::uint32_t { kSha1 = 0, kSha224 = 1, kSha256 = 2, kSha384 = 3, kSha512 = 4 };
inline constexpr Hash kLastHash = Hash::kSha512;

// Length of a hash value in bytes.
std::size_t HashBytes(Hash hash);

struct DigestDeleter {
  void operator()(EVP_MD* digest) const { EVP_MD_free(digest); }
};
using Digest = std::unique_ptr<EVP_MD, DigestDeleter>;

// libcrypto's implementation, or null where it has none.
Digest FetchDigest(Hash hash);

}  // namespace tlskeep
