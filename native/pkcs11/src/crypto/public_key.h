// What a DER SubjectPublicKeyInfo says, in the forms that PKCS #11 attributes want.
#pragma once

#include <array>
#include <cstdint>

#include "crypto/libcrypto.h"
#include "cryptoki.h"
#include "wire/bytes.h"

namespace tlskeep {

// A signature reads the numbers and the fingerprint: they stand in front, side by side.
struct PublicKey {
  CK_KEY_TYPE type;  // CKK_RSA, CKK_EC or CKK_EC_EDWARDS
  CK_ULONG bits;     // of the modulus, of the curve's order, or of the Edwards curve's field
  std::size_t signature_bytes;
  std::array<std::uint8_t, 32> fingerprint;  // SHA-256 of `info`
  Bytes info;                                // the SubjectPublicKeyInfo, DER
  // RSA: unsigned, big-endian, without leading zeros.
  Bytes modulus;
  Bytes public_exponent;
  // EC: DER namedCurve; DER OCTET STRING of the uncompressed point. Edwards: DER PrintableString of the
  // curve's name; DER OCTET STRING of the encoded point (PKCS #11 v3.0 curves §2.3.10).
  Bytes ec_params;
  Bytes ec_point;
};

// @throws std::runtime_error for anything but RSA of 2048 to 4096 bits, P-256, P-384 or Ed25519.
// A LibcryptoCall.
PublicKey ParsePublicKey(Libcrypto& libcrypto, ByteView subject_public_key_info);

}  // namespace tlskeep
