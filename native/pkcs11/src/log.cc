// Formats log lines and writes each with one system call, so that processes sharing a file do not mix.
#include "log.h"

#include <fcntl.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <ctime>
#include <mutex>

namespace tlskeep {
namespace {

constexpr std::size_t kLineBytes = 512;

// Neither has a destructor: a thread may still log while the process exits.
constinit std::mutex log_mutex;
constinit int log_fd = -1;

int SyslogPriority(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return LOG_DAEMON | LOG_ERR;
    case LogLevel::kWarning:
      return LOG_DAEMON | LOG_WARNING;
    case LogLevel::kInfo:
      break;
  }
  return LOG_DAEMON | LOG_INFO;
}

const char* LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kError:
      return "error";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kInfo:
      break;
  }
  return "info";
}

void WriteToFile(int fd, LogLevel level, const char* text) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc{};
  gmtime_r(&now.tv_sec, &utc);
  char stamp[32];
  strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &utc);
  char line[kLineBytes + 96];
  const int length = snprintf(line, sizeof line, "%s.%03ldZ %s tlskeep-pkcs11[%d]: %s\n", stamp,
                              now.tv_nsec / 1'000'000, LevelName(level), static_cast<int>(getpid()), text);
  if (length <= 0) return;
  const auto size = std::min(static_cast<std::size_t>(length), sizeof line - 1);
  // A full disk is no reason to fail a signature.
  [[maybe_unused]] const ssize_t written = write(fd, line, size);
}

void CloseLocked() noexcept {
  if (log_fd >= 0) close(log_fd);
  log_fd = -1;
}

}  // namespace

void OpenLog(const std::string& path) noexcept {
  const std::lock_guard lock(log_mutex);
  CloseLocked();
  if (path.empty()) return;
  log_fd = open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

void CloseLog() noexcept {
  const std::lock_guard lock(log_mutex);
  CloseLocked();
}

void Log(LogLevel level, const char* format, ...) noexcept {
  char text[kLineBytes];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  const std::lock_guard lock(log_mutex);
  if (log_fd >= 0) {
    WriteToFile(log_fd, level, text);
  } else {
    // Not openlog(): its settings are the host program's.
    syslog(SyslogPriority(level), "tlskeep-pkcs11: %s", text);
  }
}

void LockLogForFork() noexcept { log_mutex.lock(); }
void UnlockLogAfterFork() noexcept { log_mutex.unlock(); }

}  // namespace tlskeep
