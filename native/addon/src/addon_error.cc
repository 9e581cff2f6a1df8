// Names the system's errors.
#include "addon_error.h"

#include <errno.h>
#include <string.h>

namespace tlskeep {
namespace {

std::string NameOf(int error_number) {
  // One number on Linux, which has two names: Node uses this one, the C library the other.
  if (error_number == EOPNOTSUPP) return "ENOTSUP";
  const char* name = strerrorname_np(error_number);
  return name != nullptr ? name : "Unknown system error " + std::to_string(-error_number);
}

}  // namespace

AddonError AddonError::System(const char* syscall, int error_number) {
  const std::string name = NameOf(error_number);
  return AddonError(name, std::string(syscall) + ": " + name);
}

}  // namespace tlskeep
