// Every socket of the module, so that a forked child can close its copies: those of threads that do
// not exist there too. Closing a copy leaves the parent's connection alone; shutdown() would not.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <mutex>
#include <vector>

namespace tlskeep {

class SocketTable {
 public:
  // A non-blocking, close-on-exec stream socket of `domain`. @throws TransportError
  int Open(int domain);
  // Closes a socket of the table; nothing if a fork has closed it already.
  void Close(int fd) noexcept;
  // Ends what threads of this process wait for on their sockets. In a child that came about without the fork
  // handlers, nothing: those are its parent's.
  void ShutDownAll() noexcept;

  void LockForFork() noexcept { mutex_.lock(); }
  void UnlockInParent() noexcept { mutex_.unlock(); }
  void CloseAllInChild() noexcept;  // and unlocks

 private:
  std::mutex mutex_;
  pid_t owner_ = getpid();
  std::vector<int> sockets_;
};

}  // namespace tlskeep
