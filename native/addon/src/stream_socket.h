// The JavaScript class StreamSocket: a connected stream socket, the engine below SocketStream.
#pragma once

#include <napi.h>

#include <cstdint>

#include "addon_error.h"
#include "poll_handle.h"

namespace tlskeep {

// Errors are thrown by the call that met them, or handed to the callback that was waiting.
class StreamSocket : public Napi::ObjectWrap<StreamSocket>, private PollListener {
 public:
  static Napi::Function Define(Napi::Env env);

  // new StreamSocket(fd, onRead, onWritten). Takes the socket over unless it throws.
  // onRead(error, chunk): an error ends reading; a null chunk is the end of the stream.
  // onWritten(error): the write() that returned false is done.
  explicit StreamSocket(const Napi::CallbackInfo& info);

 private:
  // connected(callback(error)): waits for the connect() in progress on the socket.
  Napi::Value Connected(const Napi::CallbackInfo& info);
  Napi::Value ReadStart(const Napi::CallbackInfo& info);
  Napi::Value ReadStop(const Napi::CallbackInfo& info);
  // write(chunks: Uint8Array[]): boolean. False: onWritten follows, and no other write before it.
  Napi::Value Write(const Napi::CallbackInfo& info);
  // shutdown(): no more writes; the peer reads the end.
  Napi::Value Shutdown(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  Napi::Value KeepAlive(const Napi::CallbackInfo& info);

  void OnPoll(bool failed, int events) noexcept override;
  void FinishConnect() noexcept;
  void ReadSome(bool failed) noexcept;
  void FinishWrite() noexcept;
  // Sends from `chunks` on; true when nothing is left. Throws AddonError.
  bool Flush(const Napi::Array& chunks);
  void UpdatePoll();
  void Report(const Napi::FunctionReference& callback, const AddonError* error) noexcept;
  void RequireOpen() const;

  PollHandle poll_;
  Napi::AsyncContext context_;
  Napi::FunctionReference on_read_;
  Napi::FunctionReference on_written_;
  Napi::FunctionReference on_connected_;
  Napi::Reference<Napi::Array> unsent_;  // the chunks of the write in progress
  std::uint32_t unsent_index_ = 0;       // first chunk not sent in full …
  std::size_t unsent_offset_ = 0;        // … and how much of it was
  bool connecting_ = false;
  bool reading_ = false;
};

}  // namespace tlskeep
