// What the module calls itself.
#pragma once

#include <string_view>

namespace tlskeep {

inline constexpr std::string_view kManufacturer = "tlskeep";
inline constexpr std::string_view kModel = "Nitro Enclave";
inline constexpr unsigned char kVersionMajor = 0;
inline constexpr unsigned char kVersionMinor = 1;

}  // namespace tlskeep
