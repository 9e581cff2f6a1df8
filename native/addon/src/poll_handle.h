// A socket on libuv's event loop: readiness events, one orderly close, and a way into JavaScript
// from them.
#pragma once

#include <napi.h>
#include <uv.h>

#include <span>

#include "unique_fd.h"

namespace tlskeep {

class PollListener {
 public:
  // `failed`: the socket has an error (or was hung up) and is no longer polled; whoever reads or
  // writes it will learn which. Else `events` holds UV_READABLE and UV_WRITABLE as ready.
  virtual void OnPoll(bool failed, int events) noexcept = 0;

 protected:
  ~PollListener() = default;
};

// Survives a worker's end: whatever is still open is closed by an environment clean-up hook, and
// the environment waits for libuv to let go of the handle.
class PollHandle {
 public:
  // Takes the descriptor over, which must be a socket not on this loop yet, and makes it
  // non-blocking. Throws AddonError and leaves the descriptor to the caller. `listener` is
  // called until Close().
  PollHandle(int fd, Napi::Env env, PollListener* listener);
  PollHandle(const PollHandle&) = delete;
  PollHandle& operator=(const PollHandle&) = delete;
  ~PollHandle() { Close(); }

  // The events to wait for from now on: UV_READABLE, UV_WRITABLE, both or 0. Level-triggered.
  void Poll(int events);
  // Closes the descriptor; no event follows. May be repeated.
  void Close();
  // Whether waiting for events keeps the process alive.
  void KeepAlive(bool keep);

  bool open() const { return fd_.valid(); }
  int fd() const { return fd_.get(); }

 private:
  struct State;
  static void OnEvent(uv_poll_t* handle, int status, int events);
  static void OnClosed(uv_handle_t* handle);
  static void OnEnvironmentEnd(napi_async_cleanup_hook_handle hook, void* state);

  UniqueFd fd_;
  State* state_ = nullptr;  // libuv's, from construction to its close callback
  PollListener* const listener_;
  int events_ = 0;
};

// One entry into JavaScript from the event loop. Ticks and promise jobs run when it ends.
// Uses the plain C functions throughout: when a worker is being terminated they fail quietly
// where their C++ wrappers would abort the process.
class LoopScope {
 public:
  LoopScope(napi_env env, napi_value resource, napi_async_context context);
  LoopScope(const LoopScope&) = delete;
  LoopScope& operator=(const LoopScope&) = delete;
  ~LoopScope();

 private:
  const napi_env env_;
  napi_callback_scope scope_ = nullptr;
};

// Calls into JavaScript; an exception becomes an uncaught exception of the process, as one thrown
// by an event handler is.
void CallFromLoop(napi_env env, const Napi::FunctionReference& function,
                  std::span<const napi_value> arguments) noexcept;

}  // namespace tlskeep
