// What Node does not have of Unix sockets: datagrams, to which a service manager listens, and a listening
// socket as a plain descriptor.
#pragma once

#include <napi.h>

namespace tlskeep {

// sendUnixDatagram(path, message): one datagram; a path that begins with `@` is abstract.
Napi::Value SendUnixDatagram(const Napi::CallbackInfo& info);
// bindUnix(path, backlog): fd of a listening stream socket.
Napi::Value BindUnix(const Napi::CallbackInfo& info);

}  // namespace tlskeep
