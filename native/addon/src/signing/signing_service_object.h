// The JavaScript class SigningService: hands what the signing threads do not answer themselves to the
// event loop, and takes its answers.
#pragma once

#include <napi.h>

#include <memory>

#include "signing/signing_service.h"

namespace tlskeep {

class SigningServiceObject : public Napi::ObjectWrap<SigningServiceObject>, private ConnectionOwner {
 public:
  static Napi::Function Define(Napi::Env env);

  // new SigningService(directory, latencyBounds: number[] of µs, threads,
  //   onEvent(event, connection, payload | reason))
  explicit SigningServiceObject(const Napi::CallbackInfo& info);
  ~SigningServiceObject() override { End(); }

 private:
  struct Event;

  // adopt(fd): the connection's number. Takes the descriptor over; closes it if it throws for another reason
  // than its argument.
  Napi::Value Adopt(const Napi::CallbackInfo& info);
  // send(connection, payload), prove(connection, gate); greet, pause, resume, close, destroy(connection):
  // nothing happens to one that is closed.
  Napi::Value Send(const Napi::CallbackInfo& info);
  Napi::Value Prove(const Napi::CallbackInfo& info);
  template <void (Connection::*action)()>
  Napi::Value Act(const Napi::CallbackInfo& info);
  // latency(): [total in µs, ...counts of the buckets]
  Napi::Value Latency(const Napi::CallbackInfo& info);
  // stop(): ends the threads and the connections. May be repeated.
  Napi::Value Stop(const Napi::CallbackInfo& info);

  void OnRequest(ConnectionId id, Bytes payload) override;
  void OnEnd(ConnectionId id, EndReason reason) override;
  void OnClosed(ConnectionId id) override;
  void Post(std::unique_ptr<Event> event);
  // On the event loop; without an environment for what is dropped.
  static void OnEvent(Napi::Env env, Napi::Function callback, SigningServiceObject* self, Event* event);
  void Deliver(Napi::Env env, Napi::Function callback, const Event& event);

  static void OnEnvironmentEnd(void* self);
  void End() noexcept;

  using ToLoop = Napi::TypedThreadSafeFunction<SigningServiceObject, Event, OnEvent>;

  ToLoop to_loop_;
  std::unique_ptr<SigningService> service_;
};

}  // namespace tlskeep
