// Events go to the event loop through a thread-safe function, in order for each connection.
#include "signing/signing_service_object.h"

#include <vector>

#include "arguments.h"
#include "boundary.h"
#include "signing/key_directory_object.h"

namespace tlskeep {
namespace {

constexpr std::uint32_t kMaxThreads = 64;

// Numbers that signing-service.ts knows.
constexpr std::uint32_t kRequestEvent = 0;
constexpr std::uint32_t kEndEvent = 1;
constexpr std::uint32_t kClosedEvent = 2;

ConnectionId IdArgument(const Napi::Value& value) {
  if (!value.IsNumber()) throw AddonError("invalid-argument", "connection must be a number");
  return static_cast<ConnectionId>(value.As<Napi::Number>().Int64Value());
}

std::vector<std::chrono::microseconds> BoundsArgument(const Napi::Value& value) {
  if (!value.IsArray()) throw AddonError("invalid-argument", "latencyBounds must be an array");
  const auto array = value.As<Napi::Array>();
  std::vector<std::chrono::microseconds> bounds;
  for (std::uint32_t i = 0; i < array.Length(); ++i) {
    bounds.emplace_back(Uint32Argument(array.Get(i), "latencyBounds"));
  }
  return bounds;
}

}  // namespace

struct SigningServiceObject::Event {
  std::uint32_t kind;
  ConnectionId connection;
  EndReason reason;
  Bytes payload;
};

Napi::Function SigningServiceObject::Define(Napi::Env env) {
  return DefineClass(env, "SigningService",
                     {
                         InstanceMethod<&SigningServiceObject::Adopt>("adopt"),
                         InstanceMethod<&SigningServiceObject::Send>("send"),
                         InstanceMethod<&SigningServiceObject::Prove>("prove"),
                         InstanceMethod<&SigningServiceObject::Act<&Connection::Greet>>("greet"),
                         InstanceMethod<&SigningServiceObject::Act<&Connection::Pause>>("pause"),
                         InstanceMethod<&SigningServiceObject::Act<&Connection::Resume>>("resume"),
                         InstanceMethod<&SigningServiceObject::Act<&Connection::Close>>("close"),
                         InstanceMethod<&SigningServiceObject::Act<&Connection::Destroy>>("destroy"),
                         InstanceMethod<&SigningServiceObject::Latency>("latency"),
                         InstanceMethod<&SigningServiceObject::Stop>("stop"),
                     });
}

SigningServiceObject::SigningServiceObject(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<SigningServiceObject>(info) {
  AtBoundary(info.Env(), [&] {
    if (!info[0].IsObject()) throw AddonError("invalid-argument", "directory must be a KeyDirectory");
    const auto directory = KeyDirectoryObject::Unwrap(info[0].As<Napi::Object>())->directory();
    const std::uint32_t threads = Uint32Argument(info[2], "threads");
    if (threads < 1 || threads > kMaxThreads) {
      throw AddonError("invalid-argument", "threads must be a number from 1 to 64");
    }
    // Unbounded, but each connection has one request with the event loop at most.
    to_loop_ = ToLoop::New(info.Env(), FunctionArgument(info[3], "onEvent"), "tlskeep.SigningService", 0, 1, this);
    ConnectionOwner& owner = *this;
    try {
      service_ = std::make_unique<SigningService>(directory, BoundsArgument(info[1]), threads, owner);
    } catch (...) {
      to_loop_.Release();
      throw;
    }
    napi_add_env_cleanup_hook(info.Env(), OnEnvironmentEnd, this);
  });
  Ref();
}

Napi::Value SigningServiceObject::Adopt(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    UniqueFd fd(DescriptorArgument(info[0], "fd"));
    if (service_ == nullptr) throw AddonError("stopped", "the service has been stopped");
    return Napi::Number::New(info.Env(), static_cast<double>(service_->Adopt(std::move(fd))));
  });
}

Napi::Value SigningServiceObject::Send(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    const auto payload = BytesArgument(info[1], "payload");
    if (service_ != nullptr) {
      if (const auto connection = service_->Find(IdArgument(info[0]))) connection->Send(payload);
    }
    return info.Env().Undefined();
  });
}

Napi::Value SigningServiceObject::Prove(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    const std::uint32_t gate = Uint32Argument(info[1], "gate");
    if (service_ != nullptr) {
      if (const auto connection = service_->Find(IdArgument(info[0]))) connection->Prove(gate);
    }
    return info.Env().Undefined();
  });
}

template <void (Connection::*action)()>
Napi::Value SigningServiceObject::Act(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    if (service_ != nullptr) {
      if (const auto connection = service_->Find(IdArgument(info[0]))) ((*connection).*action)();
    }
    return info.Env().Undefined();
  });
}

Napi::Value SigningServiceObject::Latency(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    Napi::Array result = Napi::Array::New(info.Env());
    if (service_ == nullptr) return result;
    result.Set(0U, Napi::Number::New(info.Env(), service_->latency().TotalMicroseconds()));
    std::uint32_t index = 0;
    for (const std::uint64_t count : service_->latency().Counts()) {
      result.Set(++index, Napi::Number::New(info.Env(), static_cast<double>(count)));
    }
    return result;
  });
}

Napi::Value SigningServiceObject::Stop(const Napi::CallbackInfo& info) {
  if (service_ == nullptr) return info.Env().Undefined();
  napi_remove_env_cleanup_hook(info.Env(), OnEnvironmentEnd, this);
  End();
  Unref();
  return info.Env().Undefined();
}

void SigningServiceObject::OnEnvironmentEnd(void* self) { static_cast<SigningServiceObject*>(self)->End(); }

void SigningServiceObject::End() noexcept {
  if (service_ == nullptr) return;
  service_.reset();
  // What is still queued is dropped with it.
  to_loop_.Abort();
}

void SigningServiceObject::OnRequest(ConnectionId id, Bytes payload) {
  Post(std::make_unique<Event>(kRequestEvent, id, EndReason::kEnded, std::move(payload)));
}

void SigningServiceObject::OnEnd(ConnectionId id, EndReason reason) {
  Post(std::make_unique<Event>(kEndEvent, id, reason));
}

void SigningServiceObject::OnClosed(ConnectionId id) {
  Post(std::make_unique<Event>(kClosedEvent, id, EndReason::kEnded));
}

void SigningServiceObject::Post(std::unique_ptr<Event> event) {
  // Refused only when the environment ends, and then by nobody missed.
  if (to_loop_.NonBlockingCall(event.get()) == napi_ok) static_cast<void>(event.release());
}

void SigningServiceObject::OnEvent(Napi::Env env, Napi::Function callback, SigningServiceObject* self,
                                   Event* event) {
  const std::unique_ptr<Event> owned(event);
  // What is dropped may outlive the object.
  if (env != nullptr) self->Deliver(env, callback, *owned);
}

void SigningServiceObject::Deliver(Napi::Env env, Napi::Function callback, const Event& event) {
  if (service_ == nullptr) return;
  const Napi::HandleScope handles(env);
  napi_value arguments[3];
  if (napi_create_uint32(env, event.kind, &arguments[0]) != napi_ok ||
      napi_create_double(env, static_cast<double>(event.connection), &arguments[1]) != napi_ok ||
      (event.kind == kRequestEvent
           ? napi_create_buffer_copy(env, event.payload.size(), event.payload.data(), nullptr, &arguments[2])
           : napi_create_uint32(env, static_cast<std::uint32_t>(event.reason), &arguments[2])) != napi_ok) {
    return;
  }
  if (napi_call_function(env, env.Undefined(), callback, 3, arguments, nullptr) == napi_pending_exception) {
    // Left pending, it would be no more than a warning of Node's.
    napi_value thrown;
    if (napi_get_and_clear_last_exception(env, &thrown) == napi_ok) napi_fatal_exception(env, thrown);
  }
  // The callback may have stopped the service.
  if (service_ == nullptr) return;
  if (event.kind == kClosedEvent) {
    service_->Forget(event.connection);
  } else if (const auto connection = service_->Find(event.connection)) {
    connection->Consumed();
  }
}

}  // namespace tlskeep
