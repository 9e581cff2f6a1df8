// Reads certificates with libcrypto.
#include "crypto/certificate.h"

#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <memory>
#include <stdexcept>

namespace tlskeep {
namespace {

struct CertificateFree {
  void operator()(X509* certificate) const noexcept { X509_free(certificate); }
};

// The DER of a part, by its i2d function: asked for the length first.
template <typename Part, typename Encode>
Bytes Der(Part* part, Encode encode) {
  const int size = encode(part, nullptr);
  if (size <= 0) throw std::runtime_error("a part of a certificate cannot be encoded");
  Bytes der(static_cast<std::size_t>(size));
  unsigned char* position = der.data();
  encode(part, &position);
  return der;
}

std::string Date(const ASN1_TIME* time) {
  tm utc{};
  char date[16];
  if (ASN1_TIME_to_tm(time, &utc) != 1 || strftime(date, sizeof date, "%Y%m%d", &utc) != 8) {
    throw std::runtime_error("a certificate with an unreadable validity");
  }
  return date;
}

}  // namespace

Certificate ParseCertificate(Libcrypto& libcrypto, ByteView der) {
  const LibcryptoCall call(libcrypto);
  X509* parsed = X509_new_ex(libcrypto.context(), nullptr);
  if (parsed == nullptr) throw std::bad_alloc();
  const unsigned char* position = der.data();
  // On failure d2i_X509 frees what it was given and sets it to null.
  d2i_X509(&parsed, &position, static_cast<long>(der.size()));
  const std::unique_ptr<X509, CertificateFree> certificate(parsed);
  if (certificate == nullptr || position != der.data() + der.size()) {
    throw std::runtime_error("not a DER certificate");
  }
  Certificate result{};
  result.der = ToBytes(der);
  result.subject = Der(X509_get_subject_name(parsed), i2d_X509_NAME);
  result.issuer = Der(X509_get_issuer_name(parsed), i2d_X509_NAME);
  result.serial_number = Der(X509_get_serialNumber(parsed), i2d_ASN1_INTEGER);
  result.public_key_info = Der(X509_get_X509_PUBKEY(parsed), i2d_X509_PUBKEY);
  result.start_date = Date(X509_get0_notBefore(parsed));
  result.end_date = Date(X509_get0_notAfter(parsed));
  result.authority = X509_check_ca(parsed) == 1;
  return result;
}

}  // namespace tlskeep
