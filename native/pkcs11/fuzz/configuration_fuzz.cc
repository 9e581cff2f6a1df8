// What an administrator writes: addresses, the endpoint file, the environment.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "client/address.h"
#include "client/endpoint.h"
#include "fuzz_input.h"
#include "settings.h"
#include "wire/transport_error.h"

namespace {

using namespace tlskeep;

void Parse(const std::string& text) {
  try {
    ParseAddress(text);
  } catch (const TransportError&) {
  }
}

void ReadFile(ByteView content) {
  static const int fd = memfd_create("endpoint", 0);
  fuzz::Require(fd >= 0 && ftruncate(fd, 0) == 0);
  fuzz::Require(pwrite(fd, content.data(), content.size(), 0) == static_cast<ssize_t>(content.size()));
  try {
    Endpoint("", "/proc/self/fd/" + std::to_string(fd)).Read();
  } catch (const TransportError&) {
  }
}

void ReadEnvironment(const std::string& value) {
  setenv("TLSKEEP_LOG", "/dev/null", 1);
  for (const char* name : {"TLSKEEP_DEADLINE_MS", "TLSKEEP_LIST_DEADLINE_MS", "TLSKEEP_ENDPOINT"}) {
    setenv(name, value.c_str(), 1);
  }
  const Settings settings = SettingsFromEnvironment();
  fuzz::Require(settings.deadline.count() >= 1 && settings.deadline.count() <= 600'000);
  fuzz::Require(settings.list_deadline.count() >= 0 && settings.list_deadline.count() <= 600'000);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fuzz::Input input(data, size);
  const std::uint8_t kind = input.Byte();
  const ByteView rest = input.Rest();
  const std::string text(AsText(rest));
  if (kind % 3 == 0) Parse(text);
  if (kind % 3 == 1) ReadFile(rest);
  if (kind % 3 == 2) ReadEnvironment(text);
  return 0;
}
