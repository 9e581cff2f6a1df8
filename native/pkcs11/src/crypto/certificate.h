// The parts of an X.509 certificate that PKCS #11 attributes show.
#pragma once

#include <string>

#include "crypto/libcrypto.h"
#include "wire/bytes.h"

namespace tlskeep {

struct Certificate {
  Bytes der;
  Bytes subject;        // DER Name
  Bytes issuer;         // DER Name
  Bytes serial_number;  // DER INTEGER
  Bytes public_key_info;  // DER SubjectPublicKeyInfo
  // Of its validity in UTC, as a CK_DATE: eight digits, year, month, day.
  std::string start_date;
  std::string end_date;
  bool authority;       // basic constraints say CA
};

// Nothing is verified: the enclave vouches for what it lists, TLS clients check the chain.
// @throws std::runtime_error for anything but one DER certificate. A LibcryptoCall.
Certificate ParseCertificate(Libcrypto& libcrypto, ByteView der);

}  // namespace tlskeep
