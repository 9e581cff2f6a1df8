// Reads the endpoint file.
#include "client/endpoint.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

#include "wire/transport_error.h"

namespace tlskeep {
namespace {

constexpr std::size_t kLargestFile = 4096;

std::string ReadFirstLine(const std::string& path) {
  // O_NONBLOCK: a FIFO in its place must not hang a server.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) {
    throw TransportError("cannot open the endpoint file: " + std::generic_category().message(errno));
  }
  std::string content(kLargestFile, '\0');
  ssize_t size = 0;
  do {
    size = read(fd, content.data(), content.size());
  } while (size < 0 && errno == EINTR);
  close(fd);
  if (size < 0) throw TransportError("cannot read the endpoint file");
  content.resize(static_cast<std::size_t>(size));
  content.resize(std::min(content.find('\n'), content.size()));
  while (!content.empty() && (content.back() == ' ' || content.back() == '\r' || content.back() == '\t')) {
    content.pop_back();
  }
  return content;
}

}  // namespace

Address Endpoint::Read() const { return ParseAddress(fixed_.empty() ? ReadFirstLine(file_) : fixed_); }

}  // namespace tlskeep
