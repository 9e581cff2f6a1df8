// Names of the system's errors, held against those of libuv, which are Node's.
#include "addon_error.h"

#include <gtest/gtest.h>
#include <uv.h>

namespace tlskeep {
namespace {

// libuv's own inventions have numbers beyond those of the system.
constexpr int kLastSystemError = 1'000;

TEST(AddonError, NamesSystemErrorsAsNodeDoes) {
  struct Named {
    const char* name;
    int number;
  };
  constexpr Named kNamed[] = {
#define TLSKEEP_NAMED(name, message) {#name, -UV_##name},
      UV_ERRNO_MAP(TLSKEEP_NAMED)
#undef TLSKEEP_NAMED
  };
  int checked = 0;
  for (const Named& error : kNamed) {
    if (error.number > kLastSystemError) continue;
    EXPECT_EQ(AddonError::System("call", error.number).code(), error.name);
    ++checked;
  }
  EXPECT_GT(checked, 60);
}

TEST(AddonError, SaysWhichCallFailed) {
  EXPECT_STREQ(AddonError::System("epoll_ctl", EBADF).what(), "epoll_ctl: EBADF");
}

TEST(AddonError, KeepsTheNumberOfAnErrorWithoutAName) {
  EXPECT_EQ(AddonError::System("call", 4'242).code(), "Unknown system error -4242");
}

}  // namespace
}  // namespace tlskeep
