// Reads the TLSKEEP_ variables.
#include "settings.h"

#include <charconv>
#include <cstdlib>
#include <cstring>

#include "log.h"

namespace tlskeep {
namespace {

constexpr const char* kDefaultEndpointFile = "/run/tlskeep/endpoint";
constexpr long kDefaultDeadlineMs = 10'000;
constexpr long kDefaultListDeadlineMs = 10'000;
constexpr long kLargestDeadlineMs = 600'000;

std::string TextVariable(const char* name, const char* otherwise) {
  const char* value = secure_getenv(name);
  return value != nullptr && *value != '\0' ? value : otherwise;
}

std::chrono::milliseconds MillisecondsVariable(const char* name, long smallest, long otherwise) {
  const char* value = secure_getenv(name);
  if (value == nullptr || *value == '\0') return std::chrono::milliseconds(otherwise);
  long number = 0;
  const char* end = value + std::strlen(value);
  const auto [stop, error] = std::from_chars(value, end, number);
  if (error != std::errc() || stop != end || number < smallest || number > kLargestDeadlineMs) {
    Log(LogLevel::kWarning, "%s is not a number from %ld to %ld: using %ld", name, smallest, kLargestDeadlineMs,
        otherwise);
    return std::chrono::milliseconds(otherwise);
  }
  return std::chrono::milliseconds(number);
}

}  // namespace

Settings SettingsFromEnvironment() {
  Settings settings;
  settings.log_file = TextVariable("TLSKEEP_LOG", "");
  OpenLog(settings.log_file);
  settings.endpoint = TextVariable("TLSKEEP_ENDPOINT", "");
  settings.endpoint_file = TextVariable("TLSKEEP_ENDPOINT_FILE", kDefaultEndpointFile);
  settings.deadline = MillisecondsVariable("TLSKEEP_DEADLINE_MS", 1, kDefaultDeadlineMs);
  settings.list_deadline = MillisecondsVariable("TLSKEEP_LIST_DEADLINE_MS", 0, kDefaultListDeadlineMs);
  return settings;
}

}  // namespace tlskeep
