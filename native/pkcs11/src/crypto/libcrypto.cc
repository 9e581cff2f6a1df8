// Starts libcrypto without configuration files and without an atexit handler.
#include "crypto/libcrypto.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include <atomic>
#include <stdexcept>

namespace tlskeep {
namespace {

// libcrypto knows them by the protocol's names too.
constexpr const char* kDigestNames[kHashAlgorithms] = {"SHA-1", "SHA-224", "SHA-256", "SHA-384", "SHA-512"};
constexpr std::size_t kDigestBytes[kHashAlgorithms] = {20, 28, 32, 48, 64};

constinit std::atomic<bool> started = false;

}  // namespace

std::size_t HashBytes(HashAlgorithm algorithm) { return kDigestBytes[static_cast<std::size_t>(algorithm)]; }

const char* HashName(HashAlgorithm algorithm) { return kDigestNames[static_cast<std::size_t>(algorithm)]; }

Libcrypto::Libcrypto() {
  const LibcryptoCall call(*this);
  constexpr std::uint64_t kOptions =
      OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_LOAD_CRYPTO_STRINGS;
  started = true;
  if (OPENSSL_init_crypto(kOptions, nullptr) != 1) throw std::runtime_error("libcrypto does not start");
  context_ = OSSL_LIB_CTX_new();
  if (context_ != nullptr) provider_ = OSSL_PROVIDER_load(context_, "default");
  bool ready = provider_ != nullptr;
  for (std::size_t i = 0; ready && i < kHashAlgorithms; ++i) {
    digests_[i] = EVP_MD_fetch(context_, kDigestNames[i], nullptr);
    ready = digests_[i] != nullptr;
  }
  if (!ready) {
    Release();
    throw std::runtime_error("libcrypto has no default provider");
  }
}

Libcrypto::~Libcrypto() {
  const LibcryptoCall call(*this);
  Release();
}

void Libcrypto::Release() noexcept {
  for (EVP_MD* digest : digests_) EVP_MD_free(digest);
  if (provider_ != nullptr) OSSL_PROVIDER_unload(provider_);
  OSSL_LIB_CTX_free(context_);
}

LibcryptoCall::~LibcryptoCall() { OPENSSL_thread_stop(); }

void CleanUpLibcrypto() noexcept {
  if (started.exchange(false)) OPENSSL_cleanup();
}

}  // namespace tlskeep
