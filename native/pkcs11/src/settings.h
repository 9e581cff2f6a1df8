// What the environment says about this process's use of the module, read once by C_Initialize.
#pragma once

#include <chrono>
#include <string>

namespace tlskeep {

struct Settings {
  // TLSKEEP_ENDPOINT: an address; empty if unset. It wins over the file.
  std::string endpoint;
  // TLSKEEP_ENDPOINT_FILE: a file whose first line is an address, read again after each failed connection.
  std::string endpoint_file;
  // TLSKEEP_DEADLINE_MS, 1 to 600000: how long one operation may take, retries included.
  std::chrono::milliseconds deadline;
  // TLSKEEP_LIST_DEADLINE_MS, 0 to 600000: how long the first listing waits for an enclave that is not up.
  std::chrono::milliseconds list_deadline;
  // TLSKEEP_LOG: a file; empty means syslog.
  std::string log_file;
};

// Reads with secure_getenv: a set-uid program ignores them all. A number that is none or out of range
// is logged and replaced by the default.
Settings SettingsFromEnvironment();

}  // namespace tlskeep
