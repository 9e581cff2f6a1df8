// The JavaScript class KeyDirectory: how the enclave's token store publishes keys to the signing threads.
#pragma once

#include <napi.h>

#include <memory>

#include "signing/key_directory.h"

namespace tlskeep {

class KeyDirectoryObject : public Napi::ObjectWrap<KeyDirectoryObject> {
 public:
  static Napi::Function Define(Napi::Env env);

  explicit KeyDirectoryObject(const Napi::CallbackInfo& info)
      : Napi::ObjectWrap<KeyDirectoryObject>(info), directory_(std::make_shared<KeyDirectory>()) {}

  std::shared_ptr<const KeyDirectory> directory() const { return directory_; }

 private:
  // publish(token, gate, expiresAt, keys: {fingerprint, key, mechanisms, hashes, minEcdsaBytes,
  // maxEcdsaBytes}[])
  Napi::Value Publish(const Napi::CallbackInfo& info);
  // withdraw(token)
  Napi::Value Withdraw(const Napi::CallbackInfo& info);
  // takeCounts(token): number[], by mechanism
  Napi::Value TakeCounts(const Napi::CallbackInfo& info);

  const std::shared_ptr<KeyDirectory> directory_;
};

}  // namespace tlskeep
