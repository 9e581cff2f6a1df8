// The JavaScript class ListeningSocket: accepts connections on a listening socket.
#pragma once

#include <napi.h>

#include "poll_handle.h"

namespace tlskeep {

class ListeningSocket : public Napi::ObjectWrap<ListeningSocket>, private PollListener {
 public:
  static Napi::Function Define(Napi::Env env);

  // new ListeningSocket(fd, onConnection, onError). Takes the socket over unless it throws.
  // onConnection(fd, cid, port): the connection is the receiver's; cid and port are null unless
  // it came over AF_VSOCK. onError(error): accept() failed (`EMFILE`); accepting has paused.
  explicit ListeningSocket(const Napi::CallbackInfo& info);

 private:
  Napi::Value Resume(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  Napi::Value KeepAlive(const Napi::CallbackInfo& info);

  void OnPoll(bool failed, int events) noexcept override;
  void ReportError(int error_number);

  PollHandle poll_;
  Napi::AsyncContext context_;
  Napi::FunctionReference on_connection_;
  Napi::FunctionReference on_error_;
};

}  // namespace tlskeep
