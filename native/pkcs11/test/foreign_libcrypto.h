// A consumer's own libcrypto, reached by its symbols alone, so that it may be any since OpenSSL 1.1.1; and all
// the state of it that another libcrypto in the process could disturb.
#pragma once

#include <dlfcn.h>

#include <cstddef>
#include <stdexcept>
#include <string>

#include "wire/bytes.h"

namespace tlskeep::test {

class ForeignLibcrypto {
 public:
  // Loads $TLSKEEP_FOREIGN_LIBCRYPTO, or else the machine's libcrypto.so.3. @throws std::runtime_error
  explicit ForeignLibcrypto(int flags = RTLD_NOW | RTLD_GLOBAL);
  ~ForeignLibcrypto();
  ForeignLibcrypto(const ForeignLibcrypto&) = delete;
  ForeignLibcrypto& operator=(const ForeignLibcrypto&) = delete;

  // Null if this libcrypto has none of that name.
  template <typename Signature>
  Signature* Find(const char* name) const {
    return reinterpret_cast<Signature*>(dlsym(handle_, name));
  }
  // @throws std::runtime_error if there is none.
  template <typename Signature>
  Signature* Get(const char* name) const {
    Signature* function = Find<Signature>(name);
    if (function == nullptr) throw std::runtime_error(std::string("this libcrypto lacks ") + name);
    return function;
  }

  Bytes Sha256(ByteView data) const;
  // Whether the signature is an Ed25519 one of this public key, 32 bytes.
  bool VerifiesEd25519(ByteView public_key, ByteView message, ByteView signature) const;

 private:
  void* handle_;
};

// Takes a libcrypto's allocator, this thread's error queue and default library context, an engine and an exit
// handler for its own, and tells whether they are as it left them.
class OwnState {
 public:
  // To be made before the libcrypto allocates, or its allocator cannot be taken. When the process exits, the
  // handler writes one byte to `exit_pipe` if libcrypto still works.
  OwnState(const ForeignLibcrypto& libcrypto, int exit_pipe);

  // Fails the current test for each part that another has touched, and for every allocation since the last
  // call, or since construction.
  void ExpectUndisturbed();
  // To be called after uses of the libcrypto that allocate.
  void ForgetAllocations();

 private:
  const ForeignLibcrypto& libcrypto_;
  void* engine_ = nullptr;   // null if this libcrypto has no engines
  void* context_ = nullptr;  // null if it has no library contexts
  unsigned long error_ = 0;
  std::size_t allocations_ = 0;
};

}  // namespace tlskeep::test
