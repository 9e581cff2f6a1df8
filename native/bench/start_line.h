// Where threads of all processes wait until the last of them is ready, and processes for their turn to get ready.
#pragma once

#include <semaphore.h>

namespace tlskeep::bench {

// Lies in memory that forked processes share.
class StartLine {
 public:
  // @throws BenchError if the system gives no pipe
  StartLine();
  StartLine(const StartLine&) = delete;
  StartLine& operator=(const StartLine&) = delete;

  // Held while a process gets ready. Hundreds that load a module in the same instant take the cores from the
  // service that all of them wait for, until their requests time out: no server starts so, and it is not measured.
  class Turn {
   public:
    explicit Turn(StartLine& line);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    StartLine& line_;
  };

  // Sleeps until Open(): who is ready leaves the cores to those who are not.
  void Wait() const;
  void Open();

  // To be called first in a forked process, whose copy of the pipe would keep everybody waiting.
  void LeaveOpeningToParent();

 private:
  sem_t turns_;
  // Nothing is ever written: the end of the file is what is waited for.
  int pipe_[2];
};

}  // namespace tlskeep::bench
