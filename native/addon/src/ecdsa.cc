// A libcrypto key holds a copy of its curve: some forty cache lines that every signature reads. With a
// thousand keys these do not fit a core's cache, and cost a tenth of a P-256 signature. Here a thread has
// one for each curve, which takes each key for one signature; what a key has of its own is one number.
//
// EVP has no way to do this; libcrypto's own providers sign by the same functions.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "ecdsa.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/obj_mac.h>

#include <memory>

#include "crypto_library.h"

namespace tlskeep {
namespace {

struct EcKeyDeleter {
  void operator()(EC_KEY* key) const { EC_KEY_free(key); }
};
struct EcdsaSigDeleter {
  void operator()(ECDSA_SIG* signature) const { ECDSA_SIG_free(signature); }
};
struct SecretNumberDeleter {
  void operator()(BIGNUM* number) const { BN_clear_free(number); }
};

// A thread's own; null if there is no memory.
EC_KEY* CurveOf(std::size_t order_bytes) {
  const auto make = [](int curve) { return EC_KEY_new_by_curve_name_ex(CryptoLibrary(), nullptr, curve); };
  if (order_bytes == 32) {
    thread_local const std::unique_ptr<EC_KEY, EcKeyDeleter> p256(make(NID_X9_62_prime256v1));
    return p256.get();
  }
  thread_local const std::unique_ptr<EC_KEY, EcKeyDeleter> p384(make(NID_secp384r1));
  return p384.get();
}

// A thread's curve with a private key in it, which is wiped at the end.
class WithPrivateKey {
 public:
  WithPrivateKey(EC_KEY* curve, std::span<const std::uint8_t> private_key) : curve_(curve) {
    const std::unique_ptr<BIGNUM, SecretNumberDeleter> number(
        BN_lebin2bn(private_key.data(), static_cast<int>(private_key.size()), nullptr));
    ready_ = curve != nullptr && number != nullptr && EC_KEY_set_private_key(curve, number.get()) == 1;
  }
  WithPrivateKey(const WithPrivateKey&) = delete;
  WithPrivateKey& operator=(const WithPrivateKey&) = delete;
  ~WithPrivateKey() {
    if (curve_ != nullptr) EC_KEY_set_private_key(curve_, nullptr);
  }

  bool ready() const { return ready_; }

 private:
  EC_KEY* const curve_;
  bool ready_;
};

}  // namespace

bool EcdsaSign(std::span<const std::uint8_t> private_key, std::span<const std::uint8_t> hash_value,
               std::span<std::uint8_t> signature) {
  EC_KEY* const curve = CurveOf(private_key.size());
  const WithPrivateKey key(curve, private_key);
  if (!key.ready()) return false;
  const std::unique_ptr<ECDSA_SIG, EcdsaSigDeleter> made(
      ECDSA_do_sign(hash_value.data(), static_cast<int>(hash_value.size()), curve));
  if (made == nullptr) return false;
  const auto half = static_cast<int>(private_key.size());
  return BN_bn2binpad(ECDSA_SIG_get0_r(made.get()), signature.data(), half) == half &&
         BN_bn2binpad(ECDSA_SIG_get0_s(made.get()), signature.data() + half, half) == half;
}

}  // namespace tlskeep
