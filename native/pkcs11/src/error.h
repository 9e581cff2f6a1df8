// The error that carries the CK_RV an entry point answers with.
#pragma once

#include <stdexcept>

#include "cryptoki.h"

namespace tlskeep {

// `what` goes to the log for failures of ours or of the enclave: never a PIN, a URI or data in it.
class Pkcs11Error : public std::runtime_error {
 public:
  Pkcs11Error(CK_RV rv, const char* what) : std::runtime_error(what), rv_(rv) {}

  CK_RV rv() const noexcept { return rv_; }

 private:
  CK_RV rv_;
};

}  // namespace tlskeep
