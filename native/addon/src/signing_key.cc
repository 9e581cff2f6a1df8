// Reads the arguments of signing and decryption requests and runs them here or on the thread pool.
#include "signing_key.h"

#include <vector>

#include "arguments.h"
#include "boundary.h"
#include "pool_work.h"

namespace tlskeep {
namespace {

Napi::Value ToBuffer(Napi::Env env, const Signature& signature) {
  return Napi::Buffer<std::uint8_t>::Copy(env, signature.bytes.data(), signature.size);
}

const char* NameOf(KeyType type) {
  switch (type) {
    case KeyType::kRsa:
      return "RSA";
    case KeyType::kEc:
      return "EC";
    case KeyType::kEd25519:
      return "Ed25519";
  }
  throw AddonError("internal", "a key without a type");
}

// One of the numbers of an enumeration that counts from 0.
template <typename Enum>
Enum EnumArgument(const Napi::Value& value, const char* name, Enum last) {
  const std::uint32_t number = Uint32Argument(value, name);
  if (number > static_cast<std::uint32_t>(last)) {
    throw AddonError("invalid-argument", std::string("unknown ") + name);
  }
  return static_cast<Enum>(number);
}

// Copies what a request points at, for the time after JavaScript runs again.
std::span<const std::uint8_t> Keep(std::span<const std::uint8_t> bytes,
                                   std::vector<std::uint8_t>& copy) {
  copy.assign(bytes.begin(), bytes.end());
  return copy;
}

class SignWork final : public PoolWork {
 public:
  // The key outlives a destroy() while this runs.
  SignWork(std::shared_ptr<const PrivateKey> key, const SignRequest& request)
      : key_(std::move(key)), request_(request) {
    request_.data = Keep(request.data, data_);
  }

 private:
  void Run() override { signature_ = Sign(*key_, request_); }
  Napi::Value Result(Napi::Env env) override { return ToBuffer(env, signature_); }

  const std::shared_ptr<const PrivateKey> key_;
  SignRequest request_;
  std::vector<std::uint8_t> data_;
  Signature signature_;
};

class DecryptWork final : public PoolWork {
 public:
  DecryptWork(std::shared_ptr<const PrivateKey> key, const DecryptRequest& request)
      : key_(std::move(key)), request_(request) {
    request_.data = Keep(request.data, data_);
    request_.label = Keep(request.label, label_);
  }

 private:
  void Run() override { Decrypt(*key_, request_, plaintext_); }
  Napi::Value Result(Napi::Env env) override {
    return Napi::Buffer<std::uint8_t>::Copy(env, plaintext_.bytes.data(), plaintext_.size);
  }

  const std::shared_ptr<const PrivateKey> key_;
  DecryptRequest request_;
  std::vector<std::uint8_t> data_;
  std::vector<std::uint8_t> label_;
  Plaintext plaintext_;
};

}  // namespace

Napi::Function SigningKey::Define(Napi::Env env) {
  return DefineClass(env, "SigningKey",
                     {
                         InstanceAccessor<&SigningKey::KeyTypeName>("keyType"),
                         InstanceAccessor<&SigningKey::Bits>("bits"),
                         InstanceAccessor<&SigningKey::PublicKey>("publicKey"),
                         InstanceMethod<&SigningKey::SignSync>("signSync"),
                         InstanceMethod<&SigningKey::SignAsync>("sign"),
                         InstanceMethod<&SigningKey::DecryptAsync>("decrypt"),
                         InstanceMethod<&SigningKey::Destroy>("destroy"),
                     });
}

SigningKey::SigningKey(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SigningKey>(info) {
  AtBoundary(info.Env(), [&] { key_ = PrivateKey::FromPem(BytesArgument(info[0], "pem")); });
}

std::shared_ptr<const PrivateKey> SigningKey::KeyOf(const Napi::Value& instance) {
  if (!instance.IsObject()) throw AddonError("invalid-argument", "key must be a SigningKey");
  const SigningKey* key = Unwrap(instance.As<Napi::Object>());
  key->key();
  return key->key_;
}

const PrivateKey& SigningKey::key() const {
  if (key_ == nullptr) throw AddonError("key-destroyed", "the key has been destroyed");
  return *key_;
}

SignRequest SigningKey::ReadSignRequest(const Napi::CallbackInfo& info) const {
  SignRequest request{.mechanism = EnumArgument(info[0], "mechanism", kLastMechanism),
                      .data = BytesArgument(info[1], "data")};
  if (request.mechanism == Mechanism::kRsaPkcsPss) {
    request.hash = EnumArgument(info[2], "hash", kLastHash);
    request.salt_length = Uint32Argument(info[3], "saltLength");
    if (request.salt_length > kMaxRsaBits / 8) {
      throw AddonError("salt-len-range", "the PSS salt does not fit the modulus");
    }
  }
  CheckSignRequest(key(), request);
  return request;
}

DecryptRequest SigningKey::ReadDecryptRequest(const Napi::CallbackInfo& info) const {
  DecryptRequest request{.mechanism = EnumArgument(info[0], "mechanism", kLastDecryptMechanism),
                         .label = {},
                         .data = BytesArgument(info[1], "data")};
  if (request.mechanism == DecryptMechanism::kRsaPkcsOaep) {
    request.hash = EnumArgument(info[2], "hash", kLastHash);
    request.mgf_hash = EnumArgument(info[3], "mgfHash", kLastHash);
    request.label = BytesArgument(info[4], "label");
  }
  CheckDecryptRequest(key(), request);
  return request;
}

Napi::Value SigningKey::KeyTypeName(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(), NameOf(key().type()));
  });
}

Napi::Value SigningKey::Bits(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(),
                    [&]() -> Napi::Value { return Napi::Number::New(info.Env(), key().bits()); });
}

Napi::Value SigningKey::PublicKey(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    const auto& der = key().public_key();
    return Napi::Buffer<std::uint8_t>::Copy(info.Env(), der.data(), der.size());
  });
}

Napi::Value SigningKey::SignSync(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    return ToBuffer(info.Env(), Sign(*key_, ReadSignRequest(info)));
  });
}

Napi::Value SigningKey::SignAsync(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    auto work = std::make_unique<SignWork>(key_, ReadSignRequest(info));
    PoolWork::Queue(info.Env(), "tlskeep.sign", FunctionArgument(info[4], "callback"),
                    std::move(work));
    return info.Env().Undefined();
  });
}

Napi::Value SigningKey::DecryptAsync(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    auto work = std::make_unique<DecryptWork>(key_, ReadDecryptRequest(info));
    PoolWork::Queue(info.Env(), "tlskeep.decrypt", FunctionArgument(info[5], "callback"),
                    std::move(work));
    return info.Env().Undefined();
  });
}

Napi::Value SigningKey::Destroy(const Napi::CallbackInfo& info) {
  key_.reset();
  return info.Env().Undefined();
}

}  // namespace tlskeep
