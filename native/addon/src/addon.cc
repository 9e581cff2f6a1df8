// The addon's table of contents: everything that JavaScript can reach.
#include <napi.h>

#include "boundary.h"
#include "listening_socket.h"
#include "nsm_device.h"
#include "signing/key_directory_object.h"
#include "signing/signing_service_object.h"
#include "signing_key.h"
#include "stream_socket.h"
#include "unix_socket.h"
#include "vsock.h"

namespace tlskeep {
namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new EnvironmentData);
  exports.Set("useErrorClass", Napi::Function::New<UseErrorClass>(env, "useErrorClass"));
  exports.Set("SigningKey", SigningKey::Define(env));
  exports.Set("KeyDirectory", KeyDirectoryObject::Define(env));
  exports.Set("SigningService", SigningServiceObject::Define(env));
  exports.Set("StreamSocket", StreamSocket::Define(env));
  exports.Set("ListeningSocket", ListeningSocket::Define(env));
  exports.Set("NsmDevice", NsmDevice::Define(env));
  exports.Set("startVsockConnect", Napi::Function::New<StartVsockConnect>(env, "startVsockConnect"));
  exports.Set("bindVsock", Napi::Function::New<BindVsock>(env, "bindVsock"));
  exports.Set("localCid", Napi::Function::New<LocalCid>(env, "localCid"));
  exports.Set("socketPair", Napi::Function::New<SocketPair>(env, "socketPair"));
  exports.Set("closeDescriptor", Napi::Function::New<CloseDescriptor>(env, "closeDescriptor"));
  exports.Set("sendUnixDatagram", Napi::Function::New<SendUnixDatagram>(env, "sendUnixDatagram"));
  exports.Set("bindUnix", Napi::Function::New<BindUnix>(env, "bindUnix"));
  return exports;
}

NODE_API_MODULE(tlskeep_addon, Init)

}  // namespace
}  // namespace tlskeep
