// Owns the uv_poll_t and the descriptor below every socket of the addon.
#include "poll_handle.h"

#include <errno.h>
#include <sys/stat.h>

#include "addon_error.h"

namespace tlskeep {

struct PollHandle::State {
  uv_poll_t handle;
  PollHandle* owner;  // null once closed
  napi_async_cleanup_hook_handle hook;
};

PollHandle::PollHandle(int fd, Napi::Env env, PollListener* listener) : listener_(listener) {
  struct stat status;
  if (fstat(fd, &status) != 0) throw AddonError::System("fstat", errno);
  if (!S_ISSOCK(status.st_mode)) throw AddonError::System("fstat", ENOTSOCK);
  uv_loop_t* loop = nullptr;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok) {
    throw AddonError("internal", "no event loop");
  }
  auto* state = new State{};
  if (const int error = uv_poll_init(loop, &state->handle, fd); error != 0) {
    delete state;
    throw AddonError::System("uv_poll_init", -error);
  }
  state->handle.data = state;
  state->owner = this;
  state_ = state;
  fd_.Reset(fd);
  if (napi_add_async_cleanup_hook(env, OnEnvironmentEnd, state, &state->hook) != napi_ok) {
    fd_.Release();
    Close();
    throw AddonError("internal", "no clean-up hook could be added");
  }
}

void PollHandle::Poll(int events) {
  // A change costs two system calls: most calls change nothing.
  if (!open() || events == events_) return;
  const int error = events == 0 ? uv_poll_stop(&state_->handle)
                                : uv_poll_start(&state_->handle, events, OnEvent);
  if (error != 0) throw AddonError::System("uv_poll_start", -error);
  events_ = events;
}

void PollHandle::Close() {
  if (state_ == nullptr) return;
  state_->owner = nullptr;
  // uv_close takes the descriptor off the loop at once, so it may be closed and its number reused.
  uv_close(reinterpret_cast<uv_handle_t*>(&state_->handle), OnClosed);
  state_ = nullptr;
  fd_.Reset();
}

void PollHandle::KeepAlive(bool keep) {
  if (state_ == nullptr) return;
  auto* handle = reinterpret_cast<uv_handle_t*>(&state_->handle);
  keep ? uv_ref(handle) : uv_unref(handle);
}

void PollHandle::OnEvent(uv_poll_t* handle, int status, int events) {
  PollHandle* owner = static_cast<State*>(handle->data)->owner;
  if (owner == nullptr) return;
  if (status < 0) owner->events_ = 0;  // libuv has stopped the handle
  owner->listener_->OnPoll(status < 0, events);
}

void PollHandle::OnClosed(uv_handle_t* handle) {
  auto* state = static_cast<State*>(handle->data);
  if (state->hook != nullptr) napi_remove_async_cleanup_hook(state->hook);
  delete state;
}

void PollHandle::OnEnvironmentEnd(napi_async_cleanup_hook_handle, void* data) {
  auto* state = static_cast<State*>(data);
  // Closed already: its close callback is on its way.
  if (state->owner != nullptr) state->owner->Close();
}

LoopScope::LoopScope(napi_env env, napi_value resource, napi_async_context context) : env_(env) {
  napi_open_callback_scope(env, resource, context, &scope_);
}

LoopScope::~LoopScope() {
  if (scope_ != nullptr) napi_close_callback_scope(env_, scope_);
}

void CallFromLoop(napi_env env, const Napi::FunctionReference& function,
                  std::span<const napi_value> arguments) noexcept {
  napi_value callee = nullptr;
  napi_value receiver = nullptr;
  if (napi_get_reference_value(env, function, &callee) != napi_ok || callee == nullptr) return;
  if (napi_get_undefined(env, &receiver) != napi_ok) return;
  napi_call_function(env, receiver, callee, arguments.size(), arguments.data(), nullptr);
  bool pending = false;
  napi_value exception = nullptr;
  if (napi_is_exception_pending(env, &pending) == napi_ok && pending &&
      napi_get_and_clear_last_exception(env, &exception) == napi_ok) {
    napi_fatal_exception(env, exception);
  }
}

}  // namespace tlskeep
