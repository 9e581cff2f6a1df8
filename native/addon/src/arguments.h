// Readers of JavaScript arguments that refuse anything but exactly what is expected.
#pragma once

#include <napi.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

#include "addon_error.h"

namespace tlskeep {

// The bytes of a Uint8Array (or Buffer), valid until JavaScript runs again.
inline std::span<const std::uint8_t> BytesArgument(const Napi::Value& value, const char* name) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != napi_uint8_array) {
    throw AddonError("invalid-argument", std::string(name) + " must be a Uint8Array");
  }
  const auto array = value.As<Napi::Uint8Array>();
  return {array.Data(), array.ByteLength()};
}

// An integer from 0 to 2^32 - 1.
inline std::uint32_t Uint32Argument(const Napi::Value& value, const char* name) {
  if (value.IsNumber()) {
    const double number = value.As<Napi::Number>().DoubleValue();
    if (number >= 0 && number <= std::numeric_limits<std::uint32_t>::max() &&
        std::trunc(number) == number) {
      return static_cast<std::uint32_t>(number);
    }
  }
  throw AddonError("invalid-argument", std::string(name) + " must be an integer from 0 to 2^32-1");
}

// A file descriptor number.
inline int DescriptorArgument(const Napi::Value& value, const char* name) {
  const std::uint32_t number = Uint32Argument(value, name);
  if (number > static_cast<std::uint32_t>(std::numeric_limits<int>::max())) {
    throw AddonError("invalid-argument", std::string(name) + " must be a file descriptor");
  }
  return static_cast<int>(number);
}

inline Napi::Function FunctionArgument(const Napi::Value& value, const char* name) {
  if (!value.IsFunction()) {
    throw AddonError("invalid-argument", std::string(name) + " must be a function");
  }
  return value.As<Napi::Function>();
}

}  // namespace tlskeep
