// Makes JavaScript errors out of the addon's.
#include "boundary.h"

namespace tlskeep {

Napi::Value UseErrorClass(const Napi::CallbackInfo& info) {
  if (!info[0].IsFunction()) throw Napi::TypeError::New(info.Env(), "a class is expected");
  info.Env().GetInstanceData<EnvironmentData>()->error_class =
      Napi::Persistent(info[0].As<Napi::Function>());
  return info.Env().Undefined();
}

Napi::Value ToJavaScript(Napi::Env env, const AddonError& error) {
  const auto code = Napi::String::New(env, error.code());
  const auto message = Napi::String::New(env, error.what());
  const EnvironmentData* data = env.GetInstanceData<EnvironmentData>();
  if (data != nullptr && !data->error_class.IsEmpty()) {
    return data->error_class.New({code, message});
  }
  Napi::Object plain = Napi::Error::New(env, error.what()).Value();
  plain.Set("code", code);
  return plain;
}

}  // namespace tlskeep
