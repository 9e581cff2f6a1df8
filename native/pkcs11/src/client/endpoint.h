// Finds the signing service's address. It may change while a process lives (a new enclave has a new
// CID), so it is asked for again at every new connection.
#pragma once

#include <string>

#include "client/address.h"

namespace tlskeep {

class Endpoint {
 public:
  // `fixed` is an address, or empty to read the first line of `file` (at most 4096 bytes).
  Endpoint(std::string fixed, std::string file) : fixed_(std::move(fixed)), file_(std::move(file)) {}

  // @throws TransportError if there is no address to be had.
  Address Read() const;

 private:
  std::string fixed_;
  std::string file_;
};

}  // namespace tlskeep
