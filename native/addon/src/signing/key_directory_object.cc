// Reads what is to be published.
#include "signing/key_directory_object.h"

#include <algorithm>
#include <vector>

#include "arguments.h"
#include "boundary.h"
#include "signing_key.h"

namespace tlskeep {
namespace {

KeyDirectory::Entry ReadEntry(const Napi::Value& value) {
  if (!value.IsObject()) throw AddonError("invalid-argument", "a key must be an object");
  const auto object = value.As<Napi::Object>();
  const auto number = [&](const char* name) { return Uint32Argument(object.Get(name), name); };
  const auto bytes = BytesArgument(object.Get("fingerprint"), "fingerprint");
  Fingerprint fingerprint;
  if (bytes.size() != fingerprint.size()) {
    throw AddonError("invalid-argument", "fingerprint must be 32 bytes");
  }
  std::copy(bytes.begin(), bytes.end(), fingerprint.begin());
  return {.fingerprint = fingerprint,
          .rules = {.mechanisms = number("mechanisms"),
                    .hashes = number("hashes"),
                    .min_ecdsa_bytes = number("minEcdsaBytes"),
                    .max_ecdsa_bytes = number("maxEcdsaBytes")},
          .key = SigningKey::KeyOf(object.Get("key"))};
}

}  // namespace

Napi::Function KeyDirectoryObject::Define(Napi::Env env) {
  return DefineClass(env, "KeyDirectory",
                     {
                         InstanceMethod<&KeyDirectoryObject::Publish>("publish"),
                         InstanceMethod<&KeyDirectoryObject::Withdraw>("withdraw"),
                         InstanceMethod<&KeyDirectoryObject::TakeCounts>("takeCounts"),
                     });
}

Napi::Value KeyDirectoryObject::Publish(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    const std::uint32_t token = Uint32Argument(info[0], "token");
    const std::uint32_t gate = Uint32Argument(info[1], "gate");
    if (!info[2].IsNumber() || !info[3].IsArray()) {
      throw AddonError("invalid-argument", "expiresAt must be a number, keys an array");
    }
    const std::int64_t expires_at_ms = info[2].As<Napi::Number>().Int64Value();
    const auto array = info[3].As<Napi::Array>();
    std::vector<KeyDirectory::Entry> keys;
    for (std::uint32_t i = 0; i < array.Length(); ++i) keys.push_back(ReadEntry(array.Get(i)));
    directory_->Publish(token, gate, expires_at_ms, keys);
    return info.Env().Undefined();
  });
}

Napi::Value KeyDirectoryObject::Withdraw(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    directory_->Withdraw(Uint32Argument(info[0], "token"));
    return info.Env().Undefined();
  });
}

Napi::Value KeyDirectoryObject::TakeCounts(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    const SignatureCounts counts = directory_->TakeCounts(Uint32Argument(info[0], "token"));
    Napi::Array result = Napi::Array::New(info.Env(), counts.size());
    for (std::uint32_t i = 0; i < counts.size(); ++i) {
      result.Set(i, Napi::Number::New(info.Env(), static_cast<double>(counts[i])));
    }
    return result;
  });
}

}  // namespace tlskeep
