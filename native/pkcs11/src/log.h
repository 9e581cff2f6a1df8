// One line per event, to syslog or to the file named by TLSKEEP_LOG; never to stdout or stderr, which
// belong to the consumer. Callers keep PINs, URIs and data out of the text.
#pragma once

#include <string>

namespace tlskeep {

enum class LogLevel { kError, kWarning, kInfo };

// Opens the file (appending, mode 0640), or chooses syslog for an empty path or one that cannot be
// opened. Replaces an earlier choice.
void OpenLog(const std::string& path) noexcept;
void CloseLog() noexcept;

[[gnu::format(printf, 2, 3)]] void Log(LogLevel level, const char* format, ...) noexcept;

// Around fork(): no other thread may be inside syslog() or hold the log's lock in the child.
void LockLogForFork() noexcept;
void UnlockLogAfterFork() noexcept;

}  // namespace tlskeep
