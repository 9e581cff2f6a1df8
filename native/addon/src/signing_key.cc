// Reads the arguments of signing requests and runs them here or on the thread pool.
#include "signing_key.h"

#include <algorithm>

#include "addon_error.h"
#include "arguments.h"
#include "pool_work.h"

namespace tlskeep {
namespace {

Napi::Value ToBuffer(Napi::Env env, const Signature& signature) {
  return Napi::Buffer<std::uint8_t>::Copy(env, signature.bytes.data(), signature.size);
}

class SignWork final : public PoolWork {
 public:
  explicit SignWork(std::shared_ptr<const PrivateKey> key) : key_(std::move(key)) {}

  SignRequest& request() { return request_; }

 private:
  void Run() override { signature_ = Sign(*key_, request_); }
  Napi::Value Result(Napi::Env env) override { return ToBuffer(env, signature_); }

  const std::shared_ptr<const PrivateKey> key_;  // the key outlives a destroy() while this runs
  SignRequest request_;
  Signature signature_;
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
                         InstanceMethod<&SigningKey::Destroy>("destroy"),
                     });
}

SigningKey::SigningKey(const Napi::CallbackInfo& info) : Napi::ObjectWrap<SigningKey>(info) {
  AtBoundary(info.Env(), [&] { key_ = PrivateKey::FromPem(BytesArgument(info[0], "pem")); });
}

const PrivateKey& SigningKey::key() const {
  if (key_ == nullptr) throw AddonError("key-destroyed", "the key has been destroyed");
  return *key_;
}

void SigningKey::ReadRequest(const Napi::CallbackInfo& info, SignRequest& request) const {
  const std::uint32_t mechanism = Uint32Argument(info[0], "mechanism");
  if (mechanism > static_cast<std::uint32_t>(Mechanism::kEcdsa)) {
    throw AddonError("invalid-argument", "unknown mechanism");
  }
  request.mechanism = static_cast<Mechanism>(mechanism);
  const auto data = BytesArgument(info[1], "data");
  if (data.size() > request.data.size()) {
    throw AddonError("data-len-range", "the data is longer than any key here can sign");
  }
  std::copy(data.begin(), data.end(), request.data.begin());
  request.data_size = data.size();
  if (request.mechanism == Mechanism::kRsaPkcsPss) {
    const std::uint32_t hash = Uint32Argument(info[2], "hash");
    if (hash > static_cast<std::uint32_t>(Hash::kSha512)) {
      throw AddonError("invalid-argument", "unknown hash");
    }
    request.hash = static_cast<Hash>(hash);
    request.salt_length = Uint32Argument(info[3], "saltLength");
    if (request.salt_length > kMaxRsaBits / 8) {
      throw AddonError("salt-len-range", "the PSS salt does not fit the modulus");
    }
  }
  CheckSignRequest(key(), request);
}

Napi::Value SigningKey::KeyTypeName(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    return Napi::String::New(info.Env(), key().type() == KeyType::kRsa ? "RSA" : "EC");
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
    SignRequest request;
    ReadRequest(info, request);
    return ToBuffer(info.Env(), Sign(*key_, request));
  });
}

Napi::Value SigningKey::SignAsync(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    auto work = std::make_unique<SignWork>(key_);
    ReadRequest(info, work->request());
    PoolWork::Queue(info.Env(), "tlskeep.sign", FunctionArgument(info[4], "callback"),
                    std::move(work));
    return info.Env().Undefined();
  });
}

Napi::Value SigningKey::Destroy(const Napi::CallbackInfo& info) {
  key_.reset();
  return info.Env().Undefined();
}

}  // namespace tlskeep
