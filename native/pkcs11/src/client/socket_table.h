// Every socket of the module, so that a forked child can close its copies: those of threads that do
// not exist there too. Closing a copy leaves the parent's connection alone; shutdown() would not.
#pragma once

#include <mutex>
#include <vector>

namespace tlskeep {

class SocketTable {
 public:
  // A non-blocking, close-on-exec stream socket of `domain`. @throws TransportError
  int Open(int domain);
  // Closes a socket of the table; nothing if a fork has closed it already.
  void Close(int fd) noexcept;

  void LockForFork() noexcept { mutex_.lock(); }
  void UnlockInParent() noexcept { mutex_.unlock(); }
  void CloseAllInChild() noexcept;  // and unlocks

 private:
  std::mutex mutex_;
  std::vector<int> sockets_;
};

}  // namespace tlskeep
