// Calls a libcrypto by the signatures that OpenSSL has documented since 1.1.1.
#include "foreign_libcrypto.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>

namespace tlskeep::test {
namespace {

constexpr char kEngineId[] = "tlskeep-island";
constexpr int kEd25519 = 1087;  // NID_ED25519 of openssl/obj_mac.h

std::atomic<std::size_t> allocations = 0;

void* CountedMalloc(std::size_t size, const char*, int) {
  ++allocations;
  return std::malloc(size);
}
void* CountedRealloc(void* old, std::size_t size, const char*, int) {
  ++allocations;
  return std::realloc(old, size);
}
void CountedFree(void* old, const char*, int) { std::free(old); }

// What the exit handler finds; the handler takes no argument.
const ForeignLibcrypto* at_exit_libcrypto = nullptr;
int at_exit_pipe = -1;

void AtExit() {
  const char worked = at_exit_libcrypto->Sha256({}).front() == 0xe3 ? 'y' : 'n';  // SHA-256 of nothing
  static_cast<void>(!write(at_exit_pipe, &worked, 1));
}

}  // namespace

ForeignLibcrypto::ForeignLibcrypto(int flags) {
  const char* chosen = std::getenv("TLSKEEP_FOREIGN_LIBCRYPTO");
  handle_ = dlopen(chosen != nullptr ? chosen : "libcrypto.so.3", flags);
  if (handle_ == nullptr) throw std::runtime_error(dlerror());
}

ForeignLibcrypto::~ForeignLibcrypto() { dlclose(handle_); }

Bytes ForeignLibcrypto::Sha256(ByteView data) const {
  Bytes digest(32);
  void* context = Get<void*()>("EVP_MD_CTX_new")();
  const bool done =
      Get<int(void*, const void*, void*)>("EVP_DigestInit_ex")(context, Get<const void*()>("EVP_sha256")(), nullptr) == 1 &&
      Get<int(void*, const void*, std::size_t)>("EVP_DigestUpdate")(context, data.data(), data.size()) == 1 &&
      Get<int(void*, unsigned char*, unsigned*)>("EVP_DigestFinal_ex")(context, digest.data(), nullptr) == 1;
  Get<void(void*)>("EVP_MD_CTX_free")(context);
  return done ? digest : Bytes(32);
}

bool ForeignLibcrypto::VerifiesEd25519(ByteView public_key, ByteView message, ByteView signature) const {
  void* key = Get<void*(int, void*, const unsigned char*, std::size_t)>("EVP_PKEY_new_raw_public_key")(
      kEd25519, nullptr, public_key.data(), public_key.size());
  void* context = Get<void*()>("EVP_MD_CTX_new")();
  const bool verified =
      Get<int(void*, void**, const void*, void*, void*)>("EVP_DigestVerifyInit")(context, nullptr, nullptr, nullptr,
                                                                                 key) == 1 &&
      Get<int(void*, const unsigned char*, std::size_t, const unsigned char*, std::size_t)>("EVP_DigestVerify")(
          context, signature.data(), signature.size(), message.data(), message.size()) == 1;
  Get<void(void*)>("EVP_MD_CTX_free")(context);
  Get<void(void*)>("EVP_PKEY_free")(key);
  return verified;
}

OwnState::OwnState(const ForeignLibcrypto& libcrypto, int exit_pipe) : libcrypto_(libcrypto) {
  using Allocate = void*(std::size_t, const char*, int);
  using Reallocate = void*(void*, std::size_t, const char*, int);
  using Free = void(void*, const char*, int);
  EXPECT_EQ(libcrypto.Get<int(Allocate*, Reallocate*, Free*)>("CRYPTO_set_mem_functions")(CountedMalloc,
                                                                                         CountedRealloc, CountedFree),
            1);
  at_exit_libcrypto = &libcrypto;
  at_exit_pipe = exit_pipe;
  EXPECT_EQ(libcrypto.Get<int(void (*)())>("OPENSSL_atexit")(AtExit), 1);
  if (const auto make = libcrypto.Find<void*()>("ENGINE_new"); make != nullptr) {
    engine_ = make();
    EXPECT_EQ(libcrypto.Get<int(void*, const char*)>("ENGINE_set_id")(engine_, kEngineId), 1);
    EXPECT_EQ(libcrypto.Get<int(void*, const char*)>("ENGINE_set_name")(engine_, kEngineId), 1);
    EXPECT_EQ(libcrypto.Get<int(void*)>("ENGINE_add")(engine_), 1);
    libcrypto.Get<int(void*)>("ENGINE_free")(engine_);  // the list keeps it
  }
  if (const auto make = libcrypto.Find<void*()>("OSSL_LIB_CTX_new"); make != nullptr) {
    context_ = make();
    libcrypto.Get<void*(void*)>("OSSL_LIB_CTX_set0_default")(context_);
  }
  libcrypto.Sha256({});
  // An error that nobody has looked at yet.
  libcrypto.Get<void()>("ERR_clear_error")();
  void* digest = libcrypto.Get<void*()>("EVP_MD_CTX_new")();
  EXPECT_NE(libcrypto.Get<int(void*, const void*, void*)>("EVP_DigestInit_ex")(digest, nullptr, nullptr), 1);
  libcrypto.Get<void(void*)>("EVP_MD_CTX_free")(digest);
  error_ = libcrypto.Get<unsigned long()>("ERR_peek_error")();
  EXPECT_NE(error_, 0U);
  ForgetAllocations();
  EXPECT_GT(allocations_, 0U) << "the allocator is not asked, so it would not tell";
}

void OwnState::ForgetAllocations() { allocations_ = allocations; }

void OwnState::ExpectUndisturbed() {
  EXPECT_EQ(allocations, allocations_) << "something else allocated through this libcrypto";
  EXPECT_EQ(libcrypto_.Get<unsigned long()>("ERR_peek_error")(), error_);
  EXPECT_EQ(libcrypto_.Get<unsigned long()>("ERR_peek_last_error")(), error_) << "another error was added";
  if (context_ != nullptr) {
    const auto set_default = libcrypto_.Get<void*(void*)>("OSSL_LIB_CTX_set0_default");
    EXPECT_EQ(set_default(nullptr), context_) << "the thread's default context was changed";
  }
  if (engine_ != nullptr) {
    void* found = libcrypto_.Get<void*(const char*)>("ENGINE_by_id")(kEngineId);
    EXPECT_EQ(found, engine_);
    libcrypto_.Get<int(void*)>("ENGINE_free")(found);
  }
  ForgetAllocations();
}

}  // namespace tlskeep::test
