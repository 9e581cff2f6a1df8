// What a DER SubjectPublicKeyInfo says, in the forms that PKCS #11 attributes want.
#pragma once

#include "bytes.h"
#include "crypto/libcrypto.h"
#include "cryptoki.h"

namespace tlskeep {

struct PublicKey {
  CK_KEY_TYPE type;         // CKK_RSA or CKK_EC
  Bytes info;               // the SubjectPublicKeyInfo, DER
  Bytes fingerprint;        // its SHA-256
  CK_ULONG bits;            // of the modulus, or of the curve's order
  std::size_t signature_bytes;
  // RSA: unsigned, big-endian, without leading zeros.
  Bytes modulus;
  Bytes public_exponent;
  // EC: DER namedCurve; DER OCTET STRING of the uncompressed point.
  Bytes ec_params;
  Bytes ec_point;
};

// @throws std::runtime_error for anything but RSA of 2048 to 4096 bits, P-256 or P-384.
// Takes the gate of `libcrypto`.
PublicKey ParsePublicKey(Libcrypto& libcrypto, ByteView subject_public_key_info);

}  // namespace tlskeep
