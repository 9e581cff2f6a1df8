// The JavaScript class NsmDevice: requests to the Nitro Secure Module's device.
#pragma once

#include <napi.h>

#include <memory>

#include "unique_fd.h"

namespace tlskeep {

// Linux include/uapi/linux/nsm.h and drivers/misc/nsm.c.
inline constexpr std::size_t kNsmRequestMax = 0x1000;
inline constexpr std::size_t kNsmResponseMax = 0x3000;

class NsmDevice : public Napi::ObjectWrap<NsmDevice> {
 public:
  static Napi::Function Define(Napi::Env env);

  // new NsmDevice(path). Throws with the errno's name if the device cannot be opened.
  explicit NsmDevice(const Napi::CallbackInfo& info);

 private:
  // transact(request, callback(error, response)): one ioctl on the thread pool, where it may take
  // up to 120 s. Throws `invalid-argument`, `request-len-range`, `device-closed`; calls back with
  // the errno's name or `response-truncated`.
  Napi::Value Transact(const Napi::CallbackInfo& info);
  // close(): closes the device once what is in flight has ended.
  Napi::Value Close(const Napi::CallbackInfo& info);

  std::shared_ptr<const UniqueFd> device_;
};

}  // namespace tlskeep
