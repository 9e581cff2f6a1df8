// Sends datagrams to Unix sockets, which Node has none of: a service manager listens on one.
#pragma once

#include <napi.h>

namespace tlskeep {

// sendUnixDatagram(path, message): one datagram; a path that begins with `@` is abstract.
Napi::Value SendUnixDatagram(const Napi::CallbackInfo& info);

}  // namespace tlskeep
