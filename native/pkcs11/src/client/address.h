// Where the signing service listens: `vsock:<cid>:<port>`, `unix:<path>` or `unix+vsock:<path>:<port>`.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace tlskeep {

struct VsockAddress {
  std::uint32_t cid;
  std::uint32_t port;
};

struct UnixAddress {
  std::string path;  // at most 107 bytes
};

// A hybrid-vsock multiplexer: the guest's port is asked for by name on the Unix socket.
struct HybridAddress {
  std::string path;
  std::uint32_t port;
};

using Address = std::variant<VsockAddress, UnixAddress, HybridAddress>;

// @throws TransportError for text that is no address.
Address ParseAddress(std::string_view text);

}  // namespace tlskeep
