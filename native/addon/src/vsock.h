// AF_VSOCK sockets as plain descriptors, and the socket pairs that tests use in their place.
#pragma once

#include <napi.h>

namespace tlskeep {

// startVsockConnect(cid, port, timeoutMs): fd of a socket that is connecting.
Napi::Value StartVsockConnect(const Napi::CallbackInfo& info);
// bindVsock(cid, port, backlog): {fd, port} of a listening socket; port VMADDR_PORT_ANY picks one.
Napi::Value BindVsock(const Napi::CallbackInfo& info);
// localCid(): the CID of this machine, from /dev/vsock.
Napi::Value LocalCid(const Napi::CallbackInfo& info);
// socketPair(): [fd, fd], connected AF_UNIX stream sockets.
Napi::Value SocketPair(const Napi::CallbackInfo& info);
// closeDescriptor(fd): for a descriptor that found no owner.
Napi::Value CloseDescriptor(const Napi::CallbackInfo& info);

}  // namespace tlskeep
