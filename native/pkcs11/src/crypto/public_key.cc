// Reads public keys with libcrypto.
#include "crypto/public_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string_view>

#include "crypto/evp_key.h"
#include "crypto/hash.h"

namespace tlskeep {
namespace {

constexpr int kSmallestModulusBits = 2048;
constexpr int kLargestModulusBits = 4096;

struct NumberFree {
  void operator()(BIGNUM* number) const noexcept { BN_free(number); }
};

// RFC 5480 §2.1.1.1, the DER object identifiers of secp256r1 and secp384r1.
constexpr std::uint8_t kP256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
constexpr std::uint8_t kP384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};

struct Curve {
  std::string_view group;  // libcrypto's name
  CK_ULONG bits;
  std::size_t order_bytes;
  ByteView params;
};
constexpr Curve kCurves[] = {{"prime256v1", 256, 32, kP256}, {"secp384r1", 384, 48, kP384}};

const Curve& FindCurve(std::string_view group) {
  for (const Curve& curve : kCurves) {
    if (curve.group == group) return curve;
  }
  throw std::runtime_error("an elliptic curve other than P-256 and P-384");
}

Bytes Number(const EVP_PKEY* key, const char* name) {
  BIGNUM* value = nullptr;
  if (EVP_PKEY_get_bn_param(key, name, &value) != 1) throw std::runtime_error("an RSA key without its numbers");
  const std::unique_ptr<BIGNUM, NumberFree> owned(value);
  Bytes bytes(static_cast<std::size_t>(BN_num_bytes(value)));
  BN_bn2bin(value, bytes.data());
  return bytes;
}

void ReadRsa(const EVP_PKEY* key, PublicKey& parsed) {
  const int bits = EVP_PKEY_get_bits(key);
  if (bits < kSmallestModulusBits || bits > kLargestModulusBits) {
    throw std::runtime_error("an RSA key outside 2048 to 4096 bits");
  }
  parsed.type = CKK_RSA;
  parsed.bits = static_cast<CK_ULONG>(bits);
  parsed.modulus = Number(key, OSSL_PKEY_PARAM_RSA_N);
  parsed.public_exponent = Number(key, OSSL_PKEY_PARAM_RSA_E);
  parsed.signature_bytes = parsed.modulus.size();
}

void ReadEc(const EVP_PKEY* key, PublicKey& parsed) {
  char group[32];
  if (EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group, nullptr) != 1) {
    throw std::runtime_error("an elliptic curve without a name");
  }
  const Curve& curve = FindCurve(group);
  const std::size_t coordinate = curve.order_bytes;  // the field of both curves is as long as the order
  Bytes x = Number(key, OSSL_PKEY_PARAM_EC_PUB_X);
  Bytes y = Number(key, OSSL_PKEY_PARAM_EC_PUB_Y);
  if (x.size() > coordinate || y.size() > coordinate) throw std::runtime_error("a point outside its curve");
  // X9.62 uncompressed form, in a DER OCTET STRING (PKCS #11 v2.40, CKA_EC_POINT). 97 bytes at most: the
  // length takes one byte.
  const std::size_t point_bytes = 1 + 2 * coordinate;
  parsed.ec_point = {0x04, static_cast<std::uint8_t>(point_bytes), 0x04};
  for (const Bytes& value : {x, y}) {
    parsed.ec_point.insert(parsed.ec_point.end(), coordinate - value.size(), 0);
    parsed.ec_point.insert(parsed.ec_point.end(), value.begin(), value.end());
  }
  parsed.type = CKK_EC;
  parsed.bits = curve.bits;
  parsed.ec_params = ToBytes(curve.params);
  parsed.signature_bytes = 2 * curve.order_bytes;
}

void ReadEd25519(const EVP_PKEY* key, PublicKey& parsed) {
  constexpr std::string_view kCurve = "edwards25519";
  constexpr std::size_t kPointBytes = 32;
  parsed.ec_params = {0x13, static_cast<std::uint8_t>(kCurve.size())};
  parsed.ec_params.insert(parsed.ec_params.end(), kCurve.begin(), kCurve.end());
  parsed.ec_point.assign(2 + kPointBytes, 0);
  parsed.ec_point[0] = 0x04;
  parsed.ec_point[1] = kPointBytes;
  std::size_t size = kPointBytes;
  if (EVP_PKEY_get_raw_public_key(key, parsed.ec_point.data() + 2, &size) != 1 || size != kPointBytes) {
    throw std::runtime_error("an Ed25519 key without its point");
  }
  parsed.type = CKK_EC_EDWARDS;
  parsed.bits = 255;
  parsed.signature_bytes = 64;
}

}  // namespace

PublicKey ParsePublicKey(Libcrypto& libcrypto, ByteView subject_public_key_info) {
  const LibcryptoCall call(libcrypto);
  const EvpKey key = ParseEvpKey(libcrypto, subject_public_key_info);
  if (key == nullptr) throw std::runtime_error("not a DER SubjectPublicKeyInfo");
  PublicKey parsed{};
  if (EVP_PKEY_is_a(key.get(), "RSA") == 1) {
    ReadRsa(key.get(), parsed);
  } else if (EVP_PKEY_is_a(key.get(), "EC") == 1) {
    ReadEc(key.get(), parsed);
  } else if (EVP_PKEY_is_a(key.get(), "ED25519") == 1) {
    ReadEd25519(key.get(), parsed);
  } else {
    throw std::runtime_error("a key that is neither RSA nor EC nor Ed25519");
  }
  parsed.info = ToBytes(subject_public_key_info);
  const Bytes fingerprint = Digest(libcrypto, HashAlgorithm::kSha256, subject_public_key_info);
  std::copy_n(fingerprint.begin(), parsed.fingerprint.size(), parsed.fingerprint.begin());
  return parsed;
}

}  // namespace tlskeep
