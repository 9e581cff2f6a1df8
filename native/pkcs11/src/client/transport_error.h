// The enclave cannot be reached, or what answers does not speak the protocol. Worth another try on a
// new connection: a request is idempotent.
#pragma once

#include <stdexcept>
#include <string>

namespace tlskeep {

class TransportError : public std::runtime_error {
 public:
  explicit TransportError(const std::string& what) : std::runtime_error(what) {}
};

}  // namespace tlskeep
