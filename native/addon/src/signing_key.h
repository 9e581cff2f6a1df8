// The JavaScript class SigningKey: a private key that signs on the caller's thread or the pool's, and
// decrypts on the pool's.
#pragma once

#include <napi.h>

#include <memory>

#include "decrypt.h"
#include "private_key.h"
#include "sign.h"

namespace tlskeep {

class SigningKey : public Napi::ObjectWrap<SigningKey> {
 public:
  static Napi::Function Define(Napi::Env env);

  // new SigningKey(pem: Uint8Array). Throws as PrivateKey::FromPem does.
  explicit SigningKey(const Napi::CallbackInfo& info);

  // The key of an instance, which outlives a destroy(). Throws AddonError `key-destroyed`.
  static std::shared_ptr<const PrivateKey> KeyOf(const Napi::Value& instance);

 private:
  Napi::Value KeyTypeName(const Napi::CallbackInfo& info);
  Napi::Value Bits(const Napi::CallbackInfo& info);
  Napi::Value PublicKey(const Napi::CallbackInfo& info);
  // signSync(mechanism, data, hash, saltLength): Uint8Array
  Napi::Value SignSync(const Napi::CallbackInfo& info);
  // sign(mechanism, data, hash, saltLength, callback(error, signature))
  Napi::Value SignAsync(const Napi::CallbackInfo& info);
  // decrypt(mechanism, data, hash, mgfHash, label, callback(error, plaintext))
  Napi::Value DecryptAsync(const Napi::CallbackInfo& info);
  // destroy(): the key goes once the last operation in flight has ended. May be repeated.
  Napi::Value Destroy(const Napi::CallbackInfo& info);

  // Arguments first, then the state. The requests' bytes are JavaScript's, valid until it runs again.
  // Throw `invalid-argument`, `key-destroyed` and as CheckSignRequest and CheckDecryptRequest do.
  SignRequest ReadSignRequest(const Napi::CallbackInfo& info) const;
  DecryptRequest ReadDecryptRequest(const Napi::CallbackInfo& info) const;
  const PrivateKey& key() const;

  std::shared_ptr<const PrivateKey> key_;
};

}  // namespace tlskeep
