// Status codes of the signing service and the CK_RV each becomes. PROTOCOL.md holds the same table for
// readers; a test compares the two, so each entry stays on one line of this form.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "cryptoki.h"

namespace tlskeep {

enum class Status : std::uint8_t {
  kOk = 0,
  kMalformedRequest = 1,
  kFrameTooLarge = 2,
  kHelloRequired = 3,
  kUnsupportedVersion = 4,
  kUnknownOp = 5,
  kUnknownToken = 6,
  kUnknownKey = 7,
  kPinIncorrect = 8,
  kLoginRequired = 9,
  kMechanismRefused = 10,
  kMechanismParamRefused = 11,
  kDataRefused = 12,
  kDataLenRange = 13,
  kBusy = 14,
  kInternal = 15,
  kEncryptedDataInvalid = 16,
  kEncryptedDataLenRange = 17,
};

struct StatusEntry {
  Status status;
  std::string_view name;
  CK_RV rv;
};

// clang-format off
inline constexpr StatusEntry kStatusTable[] = {
    {Status{0}, "ok", CKR_OK},
    {Status{1}, "malformed-request", CKR_DEVICE_ERROR},
    {Status{2}, "frame-too-large", CKR_DEVICE_ERROR},
    {Status{3}, "hello-required", CKR_DEVICE_ERROR},
    {Status{4}, "unsupported-version", CKR_DEVICE_ERROR},
    {Status{5}, "unknown-op", CKR_FUNCTION_NOT_SUPPORTED},
    {Status{6}, "unknown-token", CKR_TOKEN_NOT_PRESENT},
    {Status{7}, "unknown-key", CKR_KEY_HANDLE_INVALID},
    {Status{8}, "pin-incorrect", CKR_PIN_INCORRECT},
    {Status{9}, "login-required", CKR_USER_NOT_LOGGED_IN},
    {Status{10}, "mechanism-refused", CKR_MECHANISM_INVALID},
    {Status{11}, "mechanism-param-refused", CKR_MECHANISM_PARAM_INVALID},
    {Status{12}, "data-refused", CKR_DATA_INVALID},
    {Status{13}, "data-len-range", CKR_DATA_LEN_RANGE},
    {Status{14}, "busy", CKR_DEVICE_ERROR},
    {Status{15}, "internal", CKR_DEVICE_ERROR},
    {Status{16}, "encrypted-data-invalid", CKR_ENCRYPTED_DATA_INVALID},
    {Status{17}, "encrypted-data-len-range", CKR_ENCRYPTED_DATA_LEN_RANGE},
};
// clang-format on

// The entry of a status, or none for a number that is no status.
constexpr std::optional<StatusEntry> FindStatus(std::uint64_t status) {
  for (const StatusEntry& entry : kStatusTable) {
    if (static_cast<std::uint64_t>(entry.status) == status) return entry;
  }
  return std::nullopt;
}

}  // namespace tlskeep
