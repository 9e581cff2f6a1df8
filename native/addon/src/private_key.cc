// Parses and checks private keys.
#include "private_key.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <algorithm>
#include <climits>
#include <iterator>
#include <string_view>

#include "addon_error.h"
#include "cache_line.h"
#include "crypto_library.h"

namespace tlskeep {
namespace {

using Pkey = std::unique_ptr<EVP_PKEY, PkeyDeleter>;

// Contexts kept for each key: as many threads as sign at once, for the setup or two that its clients ask for.
constexpr std::size_t kMaxIdleContexts = 8;

// RFC 8032, 5.1.
constexpr int kEd25519FieldBits = 255;
constexpr std::size_t kEd25519SignatureBytes = 64;

struct BioDeleter {
  void operator()(BIO* bio) const { BIO_free(bio); }
};

// Empties the thread's error queue on every way out: it must not fill up, and its texts stay here.
struct ErrorQueueScope {
  ~ErrorQueueScope() { ERR_clear_error(); }
};

// Asked for a pass phrase only if the key is encrypted.
int RefusePassphrase(char*, int, int, void* encrypted) {
  *static_cast<bool*>(encrypted) = true;
  return -1;
}

Pkey Parse(std::span<const std::uint8_t> pem) {
  if (pem.empty() || pem.size() > INT_MAX) {
    throw AddonError("malformed-private-key", "no PEM private key found");
  }
  // Reads the caller's bytes in place.
  const std::unique_ptr<BIO, BioDeleter> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  if (bio == nullptr) throw std::bad_alloc();
  bool encrypted = false;
  Pkey key(PEM_read_bio_PrivateKey_ex(bio.get(), nullptr, RefusePassphrase, &encrypted,
                                      CryptoLibrary(), nullptr));
  if (key != nullptr) return key;
  if (encrypted) throw AddonError("encrypted-private-key", "the private key is encrypted");
  throw AddonError("malformed-private-key", "not a PEM private key");
}

// The curve's bits, or 0 for one that is not supported.
int SupportedCurveBits(EVP_PKEY* key) {
  char name[64];
  std::size_t length = 0;
  if (EVP_PKEY_get_group_name(key, name, sizeof name, &length) != 1) return 0;
  const std::string_view group(name, length);
  if (group == "prime256v1") return 256;
  if (group == "secp384r1") return 384;
  return 0;
}

void CheckConsistency(EVP_PKEY* key) {
  const PkeyContext context(EVP_PKEY_CTX_new_from_pkey(CryptoLibrary(), key, nullptr));
  if (context == nullptr) throw std::bad_alloc();
  // RSA: p and q prime, n = pq, d, dP, dQ and qInv right. EC: public point = d * G.
  // Ed25519: both parts are there, the public one always made from the private.
  if (EVP_PKEY_check(context.get()) != 1) {
    throw AddonError("inconsistent-private-key", "the parts of the private key do not match");
  }
}

std::vector<std::uint8_t> ModulusOf(EVP_PKEY* key, std::size_t size) {
  BIGNUM* number = nullptr;
  if (EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &number) != 1) {
    throw AddonError("internal", "the modulus could not be read");
  }
  std::vector<std::uint8_t> bytes(size);
  const int written = BN_bn2binpad(number, bytes.data(), static_cast<int>(size));
  BN_free(number);
  if (written < 0) throw AddonError("internal", "the modulus could not be read");
  return bytes;
}

std::vector<std::uint8_t> EncodePublicKey(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int length = i2d_PUBKEY(key, &der);
  if (length <= 0) throw AddonError("internal", "the public key could not be encoded");
  std::vector<std::uint8_t> encoded(der, der + length);
  OPENSSL_free(der);
  return encoded;
}

}  // namespace

void EcPrivateNumber::Read(EVP_PKEY* key, std::size_t order_bytes) {
  BIGNUM* number = nullptr;
  const bool read = EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_PRIV_KEY, &number) == 1 &&
                    BN_bn2lebinpad(number, bytes_.data(), static_cast<int>(order_bytes)) >= 0;
  BN_clear_free(number);
  if (!read) throw AddonError("internal", "the private number could not be read");
}

std::shared_ptr<const PrivateKey> PrivateKey::FromPem(std::span<const std::uint8_t> pem) {
  CryptoLibrary();
  const ErrorQueueScope errors;
  // In one piece with the count of its owners, which every signature changes.
  struct Counted : PrivateKey {
    explicit Counted(Pkey key) : PrivateKey(std::move(key)) {}
  };
  return std::allocate_shared<Counted>(CacheLineAllocator<Counted>(), Parse(pem));
}

PrivateKey::PrivateKey(Pkey key) : key_(std::move(key)) {
  switch (EVP_PKEY_get_base_id(key_.get())) {
    case EVP_PKEY_RSA:
      type_ = KeyType::kRsa;
      bits_ = EVP_PKEY_get_bits(key_.get());
      if (bits_ < kMinRsaBits || bits_ > kMaxRsaBits) {
        throw AddonError("unsupported-key-type", "RSA keys must have 2048 to 4096 bits");
      }
      signature_bytes_ = (static_cast<std::size_t>(bits_) + 7) / 8;
      modulus_ = ModulusOf(key_.get(), signature_bytes_);
      break;
    case EVP_PKEY_EC:
      type_ = KeyType::kEc;
      bits_ = SupportedCurveBits(key_.get());
      if (bits_ == 0) throw AddonError("unsupported-key-type", "the curve must be P-256 or P-384");
      signature_bytes_ = static_cast<std::size_t>(bits_) / 8 * 2;
      // However the file spelled the curve and the point, the public key has one encoding.
      if (EVP_PKEY_set_utf8_string_param(key_.get(), OSSL_PKEY_PARAM_EC_ENCODING,
                                         OSSL_PKEY_EC_ENCODING_GROUP) != 1 ||
          EVP_PKEY_set_utf8_string_param(key_.get(), OSSL_PKEY_PARAM_EC_POINT_CONVERSION_FORMAT,
                                         OSSL_PKEY_EC_POINT_CONVERSION_FORMAT_UNCOMPRESSED) != 1) {
        throw AddonError("internal", "the public key's encoding could not be set");
      }
      ec_private_key_.Read(key_.get(), static_cast<std::size_t>(bits_) / 8);
      break;
    case EVP_PKEY_ED25519:
      type_ = KeyType::kEd25519;
      bits_ = kEd25519FieldBits;
      signature_bytes_ = kEd25519SignatureBytes;
      break;
    default:
      throw AddonError("unsupported-key-type", "the key must be RSA, EC or Ed25519");
  }
  CheckConsistency(key_.get());
  public_key_ = EncodePublicKey(key_.get());
}

bool PrivateKey::IsBelowModulus(std::span<const std::uint8_t> block) const {
  return std::lexicographical_compare(block.begin(), block.end(), modulus_.begin(), modulus_.end());
}

PkeyContext PrivateKey::TakeContext(std::uint64_t setup) const {
  const std::lock_guard lock(idle_mutex_);
  const auto found = std::find_if(idle_.rbegin(), idle_.rend(),
                                  [&](const IdleContext& idle) { return idle.setup == setup; });
  if (found == idle_.rend()) return nullptr;
  PkeyContext context = std::move(found->context);
  idle_.erase(std::next(found).base());
  return context;
}

void PrivateKey::ReturnContext(std::uint64_t setup, PkeyContext context) const {
  IdleContext surplus;  // freed behind the lock
  const std::lock_guard lock(idle_mutex_);
  if (idle_.size() == kMaxIdleContexts) {
    surplus = std::move(idle_.front());
    idle_.erase(idle_.begin());
  }
  idle_.push_back({setup, std::move(context)});
}

}  // namespace tlskeep
