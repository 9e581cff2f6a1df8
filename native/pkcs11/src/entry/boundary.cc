// Logs errors at the boundary and applies the output-buffer rules.
#include "entry/boundary.h"

#include "log.h"

namespace tlskeep {

CK_RV LogAndReturn(const char* function, CK_RV rv, const char* what) noexcept {
  switch (rv) {
    case CKR_HOST_MEMORY:
    case CKR_GENERAL_ERROR:
    case CKR_DEVICE_ERROR:
      Log(LogLevel::kError, "%s: %s", function, what);
      break;
    default:
      break;
  }
  return rv;
}

CK_RV SizeOutput(const void* buffer, CK_ULONG* count, std::size_t units) {
  RequirePointer(count);
  const CK_ULONG given = *count;
  *count = units;
  return buffer != nullptr && given < units ? CKR_BUFFER_TOO_SMALL : CKR_OK;
}

}  // namespace tlskeep
