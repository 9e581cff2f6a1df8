// Forked children of a test: they run a body under an alarm, and their exit status is told.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>

namespace tlskeep {

// Runs `body` in a child, which is ended after `limit`; it returns its exit status, 0 for success.
template <typename Body>
pid_t InChild(std::chrono::seconds limit, Body body) {
  const pid_t child = fork();
  if (child == 0) {
    alarm(static_cast<unsigned>(limit.count()));
    _exit(body());
  }
  return child;
}

// Waits for a child: its exit status, or 1000 and the signal that ended it.
inline int StatusOf(pid_t child) {
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

}  // namespace tlskeep
