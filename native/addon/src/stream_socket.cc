// Reads, writes and ends connected sockets as the event loop says they are ready.
#include "stream_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <memory>

#include "arguments.h"
#include "boundary.h"

namespace tlskeep {
namespace {

// Per event and socket, so that one busy peer does not keep the loop from the others.
constexpr int kMaxReadsPerEvent = 8;
constexpr std::size_t kMaxBytesWrittenPerEvent = 1024 * 1024;
constexpr std::size_t kReadBytes = 64 * 1024;
constexpr std::size_t kMaxChunksPerCall = 64;

// Reads land here first, so that a small message costs a small buffer. One per event loop.
std::uint8_t* ReadBuffer() {
  thread_local const auto buffer = std::make_unique<std::uint8_t[]>(kReadBytes);
  return buffer.get();
}

// The error the kernel holds for the socket, which this clears; 0 if none.
int TakeSocketError(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) return errno;
  return error;
}

}  // namespace

Napi::Function StreamSocket::Define(Napi::Env env) {
  return DefineClass(env, "StreamSocket",
                     {
                         InstanceMethod<&StreamSocket::Connected>("connected"),
                         InstanceMethod<&StreamSocket::ReadStart>("readStart"),
                         InstanceMethod<&StreamSocket::ReadStop>("readStop"),
                         InstanceMethod<&StreamSocket::Write>("write"),
                         InstanceMethod<&StreamSocket::Shutdown>("shutdown"),
                         InstanceMethod<&StreamSocket::Close>("close"),
                         InstanceMethod<&StreamSocket::KeepAlive>("keepAlive"),
                     });
}

StreamSocket::StreamSocket(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<StreamSocket>(info),
      poll_(AtBoundary(info.Env(),
                       [&] {
                         FunctionArgument(info[1], "onRead");
                         FunctionArgument(info[2], "onWritten");
                         return PollHandle(DescriptorArgument(info[0], "fd"), info.Env(), this);
                       })),
      context_(info.Env(), "tlskeep.StreamSocket", Value()),
      on_read_(Napi::Persistent(info[1].As<Napi::Function>())),
      on_written_(Napi::Persistent(info[2].As<Napi::Function>())) {
  Ref();  // an open socket is kept by the loop, not by whoever remembers it
}

void StreamSocket::RequireOpen() const {
  if (!poll_.open()) throw AddonError::System("socket", EBADF);
}

Napi::Value StreamSocket::Connected(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    const Napi::Function callback = FunctionArgument(info[0], "callback");
    RequireOpen();
    on_connected_ = Napi::Persistent(callback);
    connecting_ = true;
    UpdatePoll();
    return info.Env().Undefined();
  });
}

Napi::Value StreamSocket::ReadStart(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    RequireOpen();
    reading_ = true;
    UpdatePoll();
    return info.Env().Undefined();
  });
}

Napi::Value StreamSocket::ReadStop(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    reading_ = false;
    UpdatePoll();
    return info.Env().Undefined();
  });
}

Napi::Value StreamSocket::Write(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    if (!info[0].IsArray()) throw AddonError("invalid-argument", "chunks must be an array");
    const auto chunks = info[0].As<Napi::Array>();
    RequireOpen();
    if (!unsent_.IsEmpty()) throw AddonError("invalid-argument", "a write is in progress");
    unsent_index_ = 0;
    unsent_offset_ = 0;
    const bool done = Flush(chunks);
    if (!done) {
      unsent_ = Napi::Reference<Napi::Array>::New(chunks, 1);
      UpdatePoll();
    }
    return Napi::Boolean::New(info.Env(), done);
  });
}

Napi::Value StreamSocket::Shutdown(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    RequireOpen();
    // ENOTCONN: the peer is gone already, and with it anything to tell it.
    if (shutdown(poll_.fd(), SHUT_WR) != 0 && errno != ENOTCONN) {
      throw AddonError::System("shutdown", errno);
    }
    return info.Env().Undefined();
  });
}

Napi::Value StreamSocket::Close(const Napi::CallbackInfo& info) {
  if (!poll_.open()) return info.Env().Undefined();
  poll_.Close();
  reading_ = false;
  connecting_ = false;
  unsent_.Reset();
  on_read_.Reset();
  on_written_.Reset();
  on_connected_.Reset();
  Unref();
  return info.Env().Undefined();
}

Napi::Value StreamSocket::KeepAlive(const Napi::CallbackInfo& info) {
  poll_.KeepAlive(info[0].ToBoolean().Value());
  return info.Env().Undefined();
}

void StreamSocket::UpdatePoll() {
  const bool writing = connecting_ || !unsent_.IsEmpty();
  poll_.Poll((reading_ ? UV_READABLE : 0) | (writing ? UV_WRITABLE : 0));
}

void StreamSocket::OnPoll(bool failed, int events) noexcept try {
  const Napi::Env env = Env();
  const Napi::HandleScope handles(env);
  const Napi::Object self = Value();  // keeps this alive whatever the callbacks do
  const LoopScope scope(env, self, context_);
  try {
    if (connecting_) {
      FinishConnect();
    } else {
      if (!unsent_.IsEmpty() && (failed || (events & UV_WRITABLE) != 0)) FinishWrite();
      if (reading_ && (failed || (events & UV_READABLE) != 0)) ReadSome(failed);
    }
    UpdatePoll();
  } catch (const AddonError& error) {
    reading_ = false;
    Report(on_read_, &error);
  }
} catch (const std::exception&) {
  // A worker is being terminated, and JavaScript will not run again. Its end closes the socket;
  // until then there must be no more events.
  poll_.Close();
}

void StreamSocket::FinishConnect() noexcept {
  connecting_ = false;
  const Napi::FunctionReference callback = std::move(on_connected_);
  if (const int error = TakeSocketError(poll_.fd()); error != 0) {
    const AddonError failure = AddonError::System("connect", error);
    Report(callback, &failure);
  } else {
    Report(callback, nullptr);
  }
}

void StreamSocket::ReadSome(bool failed) noexcept {
  const napi_env env = Env();
  std::uint8_t* const buffer = ReadBuffer();
  for (int reads = 0; reads < kMaxReadsPerEvent && reading_; ++reads) {
    const ssize_t size = recv(poll_.fd(), buffer, kReadBytes, MSG_DONTWAIT);
    if (size > 0) {
      const auto length = static_cast<std::size_t>(size);
      napi_value arguments[2];
      if (napi_get_null(env, &arguments[0]) != napi_ok ||
          napi_create_buffer_copy(env, length, buffer, nullptr, &arguments[1]) != napi_ok) {
        return;
      }
      CallFromLoop(env, on_read_, arguments);
      if (length < kReadBytes && !failed) return;  // drained, most likely: the loop will tell
      continue;
    }
    if (size == 0) {
      reading_ = false;
      Report(on_read_, nullptr);
      return;
    }
    if (errno == EINTR) continue;
    int error = errno;
    if (error == EAGAIN) {
      if (!failed) return;
      // Nothing to read, but an error: the reason for this event.
      error = TakeSocketError(poll_.fd());
      if (error == 0) error = EIO;
    }
    reading_ = false;
    const AddonError failure = AddonError::System("recv", error);
    Report(on_read_, &failure);
    return;
  }
}

void StreamSocket::FinishWrite() noexcept {
  try {
    if (!Flush(unsent_.Value())) return;
    unsent_.Reset();
    Report(on_written_, nullptr);
  } catch (const AddonError& error) {
    unsent_.Reset();
    Report(on_written_, &error);
  } catch (const Napi::Error&) {
    unsent_.Reset();
    const AddonError failure("invalid-argument", "the chunks changed while being written");
    Report(on_written_, &failure);
  }
}

bool StreamSocket::Flush(const Napi::Array& chunks) {
  std::size_t budget = kMaxBytesWrittenPerEvent;
  while (unsent_index_ < chunks.Length()) {
    if (budget == 0) return false;
    // Looked up anew each time: a buffer detached while it waited has length 0 now.
    std::array<iovec, kMaxChunksPerCall> parts;
    std::size_t count = 0;
    std::size_t total = 0;
    for (std::uint32_t index = unsent_index_;
         index < chunks.Length() && count < parts.size() && total < budget; ++index) {
      auto bytes = BytesArgument(chunks.Get(index), "chunk");
      if (index == unsent_index_) {
        if (unsent_offset_ > bytes.size()) {
          throw AddonError("invalid-argument", "a chunk was detached while being written");
        }
        bytes = bytes.subspan(unsent_offset_);
      }
      bytes = bytes.first(std::min(bytes.size(), budget - total));
      parts[count++] = {const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
      total += bytes.size();
    }
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = count;
    ssize_t sent = 0;
    if (total > 0) {
      sent = sendmsg(poll_.fd(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0) {
        if (errno == EINTR) continue;
        if (errno == EAGAIN) return false;
        throw AddonError::System("sendmsg", errno);
      }
    }
    // Step over what was sent, empty chunks included.
    auto left = static_cast<std::size_t>(sent);
    budget -= left;
    while (unsent_index_ < chunks.Length()) {
      const std::size_t rest =
          BytesArgument(chunks.Get(unsent_index_), "chunk").size() - unsent_offset_;
      if (left < rest) {
        unsent_offset_ += left;
        break;
      }
      left -= rest;
      ++unsent_index_;
      unsent_offset_ = 0;
    }
  }
  return true;
}

// With no error: callback(null) and, for onRead, no chunk: the end of the stream.
void StreamSocket::Report(const Napi::FunctionReference& callback,
                          const AddonError* error) noexcept {
  const napi_env env = Env();
  try {
    napi_value null_value = nullptr;
    if (napi_get_null(env, &null_value) != napi_ok) return;
    const napi_value arguments[2] = {
        error == nullptr ? null_value : static_cast<napi_value>(ToJavaScript(env, *error)),
        null_value};
    CallFromLoop(env, callback, arguments);
  } catch (const Napi::Error&) {
    // The environment is being terminated: nobody is left to hear of it.
  }
}

}  // namespace tlskeep
