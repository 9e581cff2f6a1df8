// Hashes with the digests that Libcrypto has fetched.
#include "crypto/hash.h"

#include <openssl/evp.h>

#include <new>
#include <stdexcept>

namespace tlskeep {

void Hash::Free::operator()(evp_md_ctx_st* context) const noexcept { EVP_MD_CTX_free(context); }

Hash::Hash(const Libcrypto& libcrypto, HashAlgorithm algorithm)
    : context_(EVP_MD_CTX_new()), size_(HashBytes(algorithm)) {
  if (context_ == nullptr) throw std::bad_alloc();
  if (EVP_DigestInit_ex2(context_.get(), libcrypto.digest(algorithm), nullptr) != 1) {
    throw std::runtime_error("a digest does not start");
  }
}

void Hash::Update(ByteView data) {
  if (EVP_DigestUpdate(context_.get(), data.data(), data.size()) != 1) {
    throw std::runtime_error("a digest does not take data");
  }
}

Bytes Hash::Finish() {
  Bytes digest(size_);
  if (EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) != 1) {
    throw std::runtime_error("a digest does not finish");
  }
  return digest;
}

Bytes Digest(const Libcrypto& libcrypto, HashAlgorithm algorithm, ByteView data) {
  Hash hash(libcrypto, algorithm);
  hash.Update(data);
  return hash.Finish();
}

}  // namespace tlskeep
