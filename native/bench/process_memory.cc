// Reads /proc.
#include "process_memory.h"

#include <fstream>
#include <string>

namespace tlskeep::bench {

double PrivateKib() {
  std::ifstream file("/proc/self/smaps_rollup");
  double sum = 0;
  for (std::string name; file >> name;) {
    if (name != "Private_Clean:" && name != "Private_Dirty:") continue;
    double kib = 0;
    file >> kib;
    sum += kib;
  }
  return sum;
}

}  // namespace tlskeep::bench
