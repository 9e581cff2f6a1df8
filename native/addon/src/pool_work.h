// One job on libuv's thread pool: Run() on a pool thread, Finish() back on the event loop.
#pragma once

#include <napi.h>

#include <memory>
#include <optional>

#include "boundary.h"

namespace tlskeep {

// Leaner than Napi::AsyncWorker: no receiver object, no second async context per job.
class PoolWork {
 public:
  PoolWork(const PoolWork&) = delete;
  PoolWork& operator=(const PoolWork&) = delete;
  virtual ~PoolWork() = default;

  // Queues the job, which then owns itself; it calls `callback(error, result)` exactly once,
  // unless the environment ends before.
  static void Queue(Napi::Env env, const char* name, Napi::Function callback,
                    std::unique_ptr<PoolWork> job) {
    job->callback_ = Napi::Persistent(callback);
    napi_value resource_name = Napi::String::New(env, name);
    const napi_status status = napi_create_async_work(env, nullptr, resource_name, Execute,
                                                      Complete, job.get(), &job->work_);
    if (status != napi_ok) throw AddonError("internal", "no work item could be created");
    if (napi_queue_async_work(env, job->work_) != napi_ok) {
      napi_delete_async_work(env, job->work_);
      throw AddonError("internal", "the work item could not be queued");
    }
    job.release();
  }

 protected:
  PoolWork() = default;
  // On a pool thread; touches no JavaScript. An AddonError becomes the callback's first argument.
  virtual void Run() = 0;
  // On the event loop, after a Run() that threw nothing: the callback's second argument.
  virtual Napi::Value Result(Napi::Env env) = 0;

 private:
  static void Execute(napi_env, void* data) {
    auto* job = static_cast<PoolWork*>(data);
    try {
      job->Run();
    } catch (const AddonError& error) {
      job->error_ = error;
    } catch (const std::exception& error) {
      job->error_ = AddonError("internal", error.what());
    }
  }

  static void Complete(napi_env raw_env, napi_status status, void* data) noexcept {
    const std::unique_ptr<PoolWork> job(static_cast<PoolWork*>(data));
    napi_delete_async_work(raw_env, job->work_);
    if (status == napi_cancelled) return;  // the environment is ending: no JavaScript any more
    const Napi::Env env(raw_env);
    try {
      const Napi::HandleScope scope(env);
      napi_value arguments[2] = {env.Null(), env.Undefined()};
      if (job->error_) {
        arguments[0] = ToJavaScript(env, *job->error_);
      } else {
        arguments[1] = job->Result(env);
      }
      // What the callback throws stays pending: Node reports it as an uncaught exception.
      napi_call_function(env, env.Undefined(), job->callback_.Value(), 2, arguments, nullptr);
    } catch (const std::exception&) {
      // A worker is being terminated, and JavaScript will not run again. Nobody waits.
    }
  }

  napi_async_work work_ = nullptr;
  Napi::FunctionReference callback_;
  std::optional<AddonError> error_;
};

}  // namespace tlskeep
