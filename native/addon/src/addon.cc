// The addon's table of contents: everything that JavaScript can reach.
#include <napi.h>

#include "addon_error.h"
#include "signing_key.h"

namespace tlskeep {
namespace {

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new EnvironmentData);
  exports.Set("useErrorClass", Napi::Function::New<UseErrorClass>(env, "useErrorClass"));
  exports.Set("SigningKey", SigningKey::Define(env));
  return exports;
}

NODE_API_MODULE(tlskeep_addon, Init)

}  // namespace
}  // namespace tlskeep
