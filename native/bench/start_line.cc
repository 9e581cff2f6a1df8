// A semaphore for the turns, and a pipe, which wakes everybody in any process at once.
#include "start_line.h"

#include <unistd.h>

#include <cerrno>

#include "signer.h"

namespace tlskeep::bench {
namespace {

// Enough to keep the cores of a small machine busy.
constexpr unsigned kTurns = 8;

}  // namespace

StartLine::StartLine() {
  if (pipe(pipe_) != 0 || sem_init(&turns_, 1, kTurns) != 0) throw BenchError("no pipe or semaphore to be had");
}

StartLine::Turn::Turn(StartLine& line) : line_(line) {
  while (sem_wait(&line_.turns_) != 0 && errno == EINTR) {
  }
}

StartLine::Turn::~Turn() { sem_post(&line_.turns_); }

void StartLine::Wait() const {
  char nothing = 0;
  while (read(pipe_[0], &nothing, 1) < 0 && errno == EINTR) {
  }
}

void StartLine::Open() { close(pipe_[1]); }

void StartLine::LeaveOpeningToParent() { close(pipe_[1]); }

}  // namespace tlskeep::bench
