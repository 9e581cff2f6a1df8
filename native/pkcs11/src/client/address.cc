// Parses endpoint addresses.
#include "client/address.h"

#include <sys/un.h>

#include <charconv>
#include <limits>
#include <optional>

#include "wire/transport_error.h"

namespace tlskeep {
namespace {

constexpr std::string_view kVsock = "vsock:";
constexpr std::string_view kUnix = "unix:";
constexpr std::string_view kHybrid = "unix+vsock:";

std::optional<std::uint32_t> ParseNumber(std::string_view text) {
  std::uint32_t number = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  // VMADDR_CID_ANY and VMADDR_PORT_ANY name nothing that can be connected to.
  if (number == std::numeric_limits<std::uint32_t>::max()) return std::nullopt;
  return number;
}

bool IsSocketPath(std::string_view path) {
  return !path.empty() && path.size() < sizeof(sockaddr_un::sun_path) && path.find('\0') == path.npos;
}

std::optional<Address> Parse(std::string_view text) {
  if (text.starts_with(kVsock)) {
    const std::string_view rest = text.substr(kVsock.size());
    const auto colon = rest.find(':');
    if (colon == rest.npos) return std::nullopt;
    const auto cid = ParseNumber(rest.substr(0, colon));
    const auto port = ParseNumber(rest.substr(colon + 1));
    if (!cid || !port) return std::nullopt;
    return VsockAddress{*cid, *port};
  }
  if (text.starts_with(kHybrid)) {
    const std::string_view rest = text.substr(kHybrid.size());
    const auto colon = rest.rfind(':');
    if (colon == rest.npos || !IsSocketPath(rest.substr(0, colon))) return std::nullopt;
    const auto port = ParseNumber(rest.substr(colon + 1));
    if (!port) return std::nullopt;
    return HybridAddress{std::string(rest.substr(0, colon)), *port};
  }
  if (text.starts_with(kUnix)) {
    const std::string_view path = text.substr(kUnix.size());
    if (!IsSocketPath(path)) return std::nullopt;
    return UnixAddress{std::string(path)};
  }
  return std::nullopt;
}

}  // namespace

Address ParseAddress(std::string_view text) {
  auto address = Parse(text);
  if (!address) {
    throw TransportError("the endpoint is not vsock:<cid>:<port>, unix:<path> or unix+vsock:<path>:<port>");
  }
  return *std::move(address);
}

}  // namespace tlskeep
