// The enclave cannot be reached, or what the other side sends is not of the protocol. For a client worth another
// try on a new connection: a request is idempotent.
#pragma once

#include <stdexcept>
#include <string>

namespace tlskeep {

class TransportError : public std::runtime_error {
 public:
  explicit TransportError(const std::string& what) : std::runtime_error(what) {}
};

}  // namespace tlskeep
