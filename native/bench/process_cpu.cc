// Reads /proc.
#include "process_cpu.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

namespace tlskeep::bench {
namespace {

// utime, stime, cutime and cstime: the 14th to 17th field, counted behind the name, which may hold anything.
double Ticks(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text;
  std::getline(file, text);
  const std::size_t name_end = text.rfind(')');
  if (name_end == text.npos) return 0;
  std::istringstream fields(text.substr(name_end + 1));
  std::string skipped;
  for (int i = 3; i < 14; ++i) fields >> skipped;
  double sum = 0;
  for (int i = 0; i < 4; ++i) {
    double ticks = 0;
    fields >> ticks;
    sum += ticks;
  }
  return sum;
}

double TreeTicks(pid_t pid) {
  double sum = Ticks(pid);
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", gone)) {
    std::ifstream children(task.path() / "children");
    for (pid_t child = 0; children >> child;) sum += TreeTicks(child);
  }
  return sum;
}

}  // namespace

double ProcessTreeCpuSeconds(const std::vector<pid_t>& roots) {
  double ticks = 0;
  for (const pid_t root : roots) ticks += TreeTicks(root);
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace tlskeep::bench
