// Sends one datagram to a Unix socket, and listens on one, by its path or abstract name.
#include "unix_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cstddef>
#include <string>

#include "arguments.h"
#include "boundary.h"
#include "unique_fd.h"

namespace tlskeep {
namespace {

struct UnixAddress {
  sockaddr_un address{};
  socklen_t size = 0;
};

UnixAddress AddressOf(const std::string& path) {
  UnixAddress result;
  // An abstract name has no terminator, a path keeps room for one.
  const bool abstract = path.starts_with('@');
  const std::size_t room = sizeof result.address.sun_path - (abstract ? 0 : 1);
  if (path.size() < 2 || path.size() > room || path.find('\0') != std::string::npos) {
    throw AddonError("invalid-argument", "path must name a Unix socket");
  }
  result.address.sun_family = AF_UNIX;
  std::copy(path.begin(), path.end(), result.address.sun_path);
  if (abstract) result.address.sun_path[0] = '\0';
  result.size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + (abstract ? 0U : 1U));
  return result;
}

}  // namespace

Napi::Value SendUnixDatagram(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    if (!info[0].IsString()) throw AddonError("invalid-argument", "path must be a string");
    const UnixAddress to = AddressOf(info[0].As<Napi::String>().Utf8Value());
    const auto message = BytesArgument(info[1], "message");
    const UniqueFd fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!fd.valid()) throw AddonError::System("socket", errno);
    // A receiver that does not read must not hold JavaScript up.
    const ssize_t sent = sendto(fd.get(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&to.address), to.size);
    if (sent < 0) throw AddonError::System("sendto", errno);
    return info.Env().Undefined();
  });
}

Napi::Value BindUnix(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    if (!info[0].IsString()) throw AddonError("invalid-argument", "path must be a string");
    const UnixAddress at = AddressOf(info[0].As<Napi::String>().Utf8Value());
    const int backlog = DescriptorArgument(info[1], "backlog");
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (!fd.valid()) throw AddonError::System("socket", errno);
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&at.address), at.size) != 0) {
      throw AddonError::System("bind", errno);
    }
    if (listen(fd.get(), backlog) != 0) throw AddonError::System("listen", errno);
    return Napi::Number::New(info.Env(), fd.Release());
  });
}

}  // namespace tlskeep
