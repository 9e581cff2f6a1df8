// A private key in memory: parsed from PEM, checked for consistency, never given out again.
#pragma once

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace tlskeep {

struct PkeyDeleter {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct PkeyContextDeleter {
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
using PkeyContext = std::unique_ptr<EVP_PKEY_CTX, PkeyContextDeleter>;

enum class KeyType { kRsa, kEc, kEd25519 };

// The private number of a key of P-256 or P-384, in the order of bytes that libcrypto's own copy has, so that
// memory holds no second form of it; wiped at its end.
class EcPrivateNumber {
 public:
  EcPrivateNumber() = default;
  EcPrivateNumber(const EcPrivateNumber&) = delete;
  EcPrivateNumber& operator=(const EcPrivateNumber&) = delete;
  ~EcPrivateNumber() { OPENSSL_cleanse(bytes_.data(), bytes_.size()); }

  // Throws AddonError `internal`.
  void Read(EVP_PKEY* key, std::size_t order_bytes);
  // Its lowest bytes.
  std::span<const std::uint8_t> first(std::size_t bytes) const { return {bytes_.data(), bytes}; }

 private:
  std::array<std::uint8_t, 48> bytes_{};
};

// Limits of what is accepted. RSA: what public CAs certify and web servers use.
inline constexpr int kMinRsaBits = 2048;
inline constexpr int kMaxRsaBits = 4096;

// Immutable and safe to use from any number of threads; the memory is cleared when the last
// owner lets go.
class PrivateKey {
 public:
  // Reads the first private key in `pem`: PKCS #8 `PRIVATE KEY`, PKCS #1 `RSA PRIVATE KEY` or
  // SEC 1 `EC PRIVATE KEY`; other blocks before it (`EC PARAMETERS`) are skipped.
  // Throws AddonError: `malformed-private-key`, `encrypted-private-key`, `unsupported-key-type`
  // (anything but RSA of 2048 to 4096 bits, P-256, P-384 and Ed25519), `inconsistent-private-key` (the
  // parts do not belong together: such a key can leak itself through its signatures).
  static std::shared_ptr<const PrivateKey> FromPem(std::span<const std::uint8_t> pem);

  KeyType type() const { return type_; }
  // RSA: of the modulus. EC: of the field (256 or 384). Ed25519: of the field (255).
  int bits() const { return bits_; }
  // RSA: modulus length. EC: twice the order's length (r and s). Ed25519: 64.
  std::size_t signature_bytes() const { return signature_bytes_; }
  // SubjectPublicKeyInfo in DER; EC as a named curve with an uncompressed point.
  const std::vector<std::uint8_t>& public_key() const { return public_key_; }

  // Whether `block`, as long as an RSA key's modulus, is a number below it.
  bool IsBelowModulus(std::span<const std::uint8_t> block) const;

  EVP_PKEY* pkey() const { return key_.get(); }
  // The private number of an EC key, lowest byte first and as long as the curve's order; empty for others.
  std::span<const std::uint8_t> ec_private_key() const {
    return ec_private_key_.first(type_ == KeyType::kEc ? signature_bytes_ / 2 : 0);
  }

  // A context that has been given back, set up as `setup` names it; null if there is none to spare.
  // Setting one up costs some per cent of an RSA-2048 signature, and libcrypto lets it sign many times.
  PkeyContext TakeContext(std::uint64_t setup) const;
  // Keeps a context for the next signature of this setup.
  void ReturnContext(std::uint64_t setup, PkeyContext context) const;

 private:
  explicit PrivateKey(std::unique_ptr<EVP_PKEY, PkeyDeleter> key);

  // What a P-256 key signs with stands together, on one cache line with the count of owners in front.
  KeyType type_;
  int bits_;
  std::size_t signature_bytes_;
  EcPrivateNumber ec_private_key_;
  std::unique_ptr<EVP_PKEY, PkeyDeleter> key_;
  std::vector<std::uint8_t> public_key_;
  std::vector<std::uint8_t> modulus_;  // of an RSA key, highest byte first
  struct IdleContext {
    std::uint64_t setup;
    PkeyContext context;
  };
  mutable std::mutex idle_mutex_;
  mutable std::vector<IdleContext> idle_;  // the last one given back is the last one here
};

}  // namespace tlskeep
