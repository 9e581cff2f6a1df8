// Accepts connections as the event loop says they are there.
#include "listening_socket.h"

#include <errno.h>
#include <sys/socket.h>  // before linux/vm_sockets.h, which needs it

#include <linux/vm_sockets.h>

#include "arguments.h"
#include "boundary.h"

namespace tlskeep {
namespace {

// Per event, so that a flood of connections does not keep the loop from those it has.
constexpr int kMaxAcceptsPerEvent = 16;

}  // namespace

Napi::Function ListeningSocket::Define(Napi::Env env) {
  return DefineClass(env, "ListeningSocket",
                     {
                         InstanceMethod<&ListeningSocket::Resume>("resume"),
                         InstanceMethod<&ListeningSocket::Close>("close"),
                         InstanceMethod<&ListeningSocket::KeepAlive>("keepAlive"),
                     });
}

ListeningSocket::ListeningSocket(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<ListeningSocket>(info),
      poll_(AtBoundary(info.Env(),
                       [&] {
                         FunctionArgument(info[1], "onConnection");
                         FunctionArgument(info[2], "onError");
                         return PollHandle(DescriptorArgument(info[0], "fd"), info.Env(), this);
                       })),
      context_(info.Env(), "tlskeep.ListeningSocket", Value()),
      on_connection_(Napi::Persistent(info[1].As<Napi::Function>())),
      on_error_(Napi::Persistent(info[2].As<Napi::Function>())) {
  AtBoundary(info.Env(), [&] { poll_.Poll(UV_READABLE); });
  Ref();
}

Napi::Value ListeningSocket::Resume(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    poll_.Poll(UV_READABLE);
    return info.Env().Undefined();
  });
}

Napi::Value ListeningSocket::Close(const Napi::CallbackInfo& info) {
  if (!poll_.open()) return info.Env().Undefined();
  poll_.Close();
  on_connection_.Reset();
  on_error_.Reset();
  Unref();
  return info.Env().Undefined();
}

Napi::Value ListeningSocket::KeepAlive(const Napi::CallbackInfo& info) {
  poll_.KeepAlive(info[0].ToBoolean().Value());
  return info.Env().Undefined();
}

void ListeningSocket::OnPoll(bool, int) noexcept try {
  const napi_env env = Env();
  const Napi::HandleScope handles(env);
  const Napi::Object self = Value();
  const LoopScope scope(env, self, context_);
  for (int accepts = 0; accepts < kMaxAcceptsPerEvent && poll_.open(); ++accepts) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    UniqueFd connection(accept4(poll_.fd(), reinterpret_cast<sockaddr*>(&address), &size,
                                SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!connection.valid()) {
      if (errno == EAGAIN) return;
      if (errno == EINTR || errno == ECONNABORTED) continue;
      ReportError(errno);
      return;
    }
    napi_value arguments[3];
    if (napi_create_int32(env, connection.get(), &arguments[0]) != napi_ok ||
        napi_get_null(env, &arguments[1]) != napi_ok) {
      return;
    }
    arguments[2] = arguments[1];
    if (address.ss_family == AF_VSOCK && size >= sizeof(sockaddr_vm)) {
      const auto& peer = reinterpret_cast<const sockaddr_vm&>(address);
      if (napi_create_uint32(env, peer.svm_cid, &arguments[1]) != napi_ok ||
          napi_create_uint32(env, peer.svm_port, &arguments[2]) != napi_ok) {
        return;
      }
    }
    connection.Release();
    CallFromLoop(env, on_connection_, arguments);
  }
} catch (const std::exception&) {
  // A worker is being terminated, and JavaScript will not run again. Its end closes the socket;
  // until then there must be no more events.
  poll_.Close();
}

void ListeningSocket::ReportError(int error_number) {
  // The connection stays queued, so polling on would spin: the owner resumes when it sees fit.
  poll_.Poll(0);
  const napi_value arguments[1] = {
      ToJavaScript(Env(), AddonError::System("accept", error_number))};
  CallFromLoop(Env(), on_error_, arguments);
}

}  // namespace tlskeep
