// Makes AF_VSOCK sockets: connecting, listening; and asks for this machine's CID.
#include "vsock.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>  // before linux/vm_sockets.h, which needs it
#include <sys/time.h>

#include <linux/vm_sockets.h>

#include "arguments.h"
#include "boundary.h"
#include "unique_fd.h"

namespace tlskeep {
namespace {

UniqueFd OpenSocket() {
  UniqueFd fd(socket(AF_VSOCK, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd.valid()) throw AddonError::System("socket", errno);
  return fd;
}

sockaddr_vm Address(const Napi::Value& cid, const Napi::Value& port) {
  sockaddr_vm address{};
  address.svm_family = AF_VSOCK;
  address.svm_cid = Uint32Argument(cid, "cid");
  address.svm_port = Uint32Argument(port, "port");
  return address;
}

}  // namespace

Napi::Value StartVsockConnect(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    const sockaddr_vm address = Address(info[0], info[1]);
    const std::uint32_t timeout_ms = Uint32Argument(info[2], "timeoutMs");
    UniqueFd fd = OpenSocket();
    // Else the kernel gives up after 2 s, however long the caller would wait.
    timeval timeout{};
    timeout.tv_sec = timeout_ms / 1000;
    timeout.tv_usec = timeout_ms % 1000 * 1000;
    if (setsockopt(fd.get(), AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, &timeout, sizeof timeout) !=
        0) {
      throw AddonError::System("setsockopt", errno);
    }
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
        errno != EINPROGRESS) {
      throw AddonError::System("connect", errno);
    }
    return Napi::Number::New(info.Env(), fd.Release());
  });
}

Napi::Value BindVsock(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    sockaddr_vm address = Address(info[0], info[1]);
    const int backlog = DescriptorArgument(info[2], "backlog");
    UniqueFd fd = OpenSocket();
    if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      throw AddonError::System("bind", errno);
    }
    if (listen(fd.get(), backlog) != 0) throw AddonError::System("listen", errno);
    socklen_t size = sizeof address;
    if (getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &size) != 0) {
      throw AddonError::System("getsockname", errno);
    }
    Napi::Object bound = Napi::Object::New(info.Env());
    bound.Set("port", Napi::Number::New(info.Env(), address.svm_port));
    bound.Set("fd", Napi::Number::New(info.Env(), fd.get()));
    fd.Release();
    return bound;
  });
}

Napi::Value LocalCid(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    const UniqueFd device(open("/dev/vsock", O_RDONLY | O_CLOEXEC));
    if (!device.valid()) throw AddonError::System("open", errno);
    unsigned int cid = 0;
    if (ioctl(device.get(), IOCTL_VM_SOCKETS_GET_LOCAL_CID, &cid) != 0) {
      throw AddonError::System("ioctl", errno);
    }
    return Napi::Number::New(info.Env(), cid);
  });
}

Napi::Value SocketPair(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    int fds[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0) {
      throw AddonError::System("socketpair", errno);
    }
    Napi::Array pair = Napi::Array::New(info.Env(), 2);
    pair.Set(0U, Napi::Number::New(info.Env(), fds[0]));
    pair.Set(1U, Napi::Number::New(info.Env(), fds[1]));
    return pair;
  });
}

Napi::Value CloseDescriptor(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    if (close(DescriptorArgument(info[0], "fd")) != 0) throw AddonError::System("close", errno);
    return info.Env().Undefined();
  });
}

}  // namespace tlskeep
