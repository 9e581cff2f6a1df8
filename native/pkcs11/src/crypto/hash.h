// SHA-1 and SHA-2, over one piece or many.
#pragma once

#include <memory>

#include "crypto/libcrypto.h"

struct evp_md_ctx_st;

namespace tlskeep {

class Hash {
 public:
  Hash(const Libcrypto& libcrypto, HashAlgorithm algorithm);
  void Update(ByteView data);
  Bytes Finish();  // the last call

 private:
  struct Free {
    void operator()(evp_md_ctx_st* context) const noexcept;
  };
  std::unique_ptr<evp_md_ctx_st, Free> context_;
  std::size_t size_;
};

Bytes Digest(const Libcrypto& libcrypto, HashAlgorithm algorithm, ByteView data);

}  // namespace tlskeep
