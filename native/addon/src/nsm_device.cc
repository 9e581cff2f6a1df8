// Opens the NSM and runs its one ioctl on the thread pool.
#include "nsm_device.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>

#include "arguments.h"
#include "boundary.h"
#include "pool_work.h"

namespace tlskeep {
namespace {

struct NsmIovec {
  std::uint64_t address;
  std::uint64_t length;
};
struct NsmRaw {
  NsmIovec request;
  NsmIovec response;
};
static_assert(sizeof(NsmRaw) == 32);
constexpr unsigned long kNsmIoctl = _IOWR(0x0A, 0, NsmRaw);
static_assert(kNsmIoctl == 0xC0200A00UL);

class NsmWork final : public PoolWork {
 public:
  NsmWork(std::shared_ptr<const UniqueFd> device, std::span<const std::uint8_t> request)
      : device_(std::move(device)), request_size_(request.size()) {
    std::copy(request.begin(), request.end(), request_.begin());
  }
  // The answer may be random bytes that become a key.
  ~NsmWork() override { explicit_bzero(response_.data(), response_.size()); }

 private:
  void Run() override {
    NsmRaw raw{
        {reinterpret_cast<std::uintptr_t>(request_.data()), request_size_},
        {reinterpret_cast<std::uintptr_t>(response_.data()), response_.size()},
    };
    if (ioctl(device_->get(), kNsmIoctl, &raw) != 0) throw AddonError::System("ioctl", errno);
    // The driver cuts an answer that is longer than the buffer and says nothing.
    if (raw.response.length >= response_.size()) {
      throw AddonError("response-truncated", "the NSM's answer may have been cut");
    }
    response_size_ = raw.response.length;
  }

  Napi::Value Result(Napi::Env env) override {
    return Napi::Buffer<std::uint8_t>::Copy(env, response_.data(), response_size_);
  }

  const std::shared_ptr<const UniqueFd> device_;
  const std::size_t request_size_;
  std::size_t response_size_ = 0;
  std::array<std::uint8_t, kNsmRequestMax> request_;
  std::array<std::uint8_t, kNsmResponseMax> response_{};
};

}  // namespace

Napi::Function NsmDevice::Define(Napi::Env env) {
  return DefineClass(env, "NsmDevice",
                     {
                         InstanceMethod<&NsmDevice::Transact>("transact"),
                         InstanceMethod<&NsmDevice::Close>("close"),
                     });
}

NsmDevice::NsmDevice(const Napi::CallbackInfo& info) : Napi::ObjectWrap<NsmDevice>(info) {
  AtBoundary(info.Env(), [&] {
    if (!info[0].IsString()) throw AddonError("invalid-argument", "path must be a string");
    const std::string path = info[0].As<Napi::String>();
    if (path.find('\0') != std::string::npos) {
      throw AddonError("invalid-argument", "path must not hold a null byte");
    }
    auto device = std::make_shared<UniqueFd>(open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!device->valid()) throw AddonError::System("open", errno);
    device_ = std::move(device);
  });
}

Napi::Value NsmDevice::Transact(const Napi::CallbackInfo& info) {
  return AtBoundary(info.Env(), [&]() -> Napi::Value {
    const auto request = BytesArgument(info[0], "request");
    if (request.empty() || request.size() > kNsmRequestMax) {
      throw AddonError("request-len-range", "a request has 1 to 4096 bytes");
    }
    const Napi::Function callback = FunctionArgument(info[1], "callback");
    if (device_ == nullptr) throw AddonError("device-closed", "the NSM device has been closed");
    PoolWork::Queue(info.Env(), "tlskeep.nsm", callback,
                    std::make_unique<NsmWork>(device_, request));
    return info.Env().Undefined();
  });
}

Napi::Value NsmDevice::Close(const Napi::CallbackInfo& info) {
  device_.reset();
  return info.Env().Undefined();
}

}  // namespace tlskeep
