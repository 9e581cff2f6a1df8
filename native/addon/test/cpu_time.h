// How long this process has worked.
#pragma once

#include <time.h>

#include <chrono>

namespace tlskeep::test {

inline std::chrono::nanoseconds CpuTime() {
  timespec used{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

}  // namespace tlskeep::test
