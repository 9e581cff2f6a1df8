// Opens and closes under one lock: a fork sees each descriptor either in the table or not at all.
#include "client/socket_table.h"

#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "wire/transport_error.h"

namespace tlskeep {

int SocketTable::Open(int domain) {
  const std::lock_guard lock(mutex_);
  sockets_.reserve(sockets_.size() + 1);
  const int fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) throw TransportError("socket: " + std::generic_category().message(errno));
  sockets_.push_back(fd);
  return fd;
}

void SocketTable::Close(int fd) noexcept {
  const std::lock_guard lock(mutex_);
  const auto found = std::find(sockets_.begin(), sockets_.end(), fd);
  if (found == sockets_.end()) return;
  sockets_.erase(found);
  close(fd);
}

void SocketTable::ShutDownAll() noexcept {
  const std::lock_guard lock(mutex_);
  if (getpid() != owner_) return;
  for (const int fd : sockets_) shutdown(fd, SHUT_RDWR);
}

void SocketTable::CloseAllInChild() noexcept {
  for (const int fd : sockets_) close(fd);
  sockets_.clear();
  owner_ = getpid();
  mutex_.unlock();
}

}  // namespace tlskeep
