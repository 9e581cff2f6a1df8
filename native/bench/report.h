// What a load has measured, as one line of JSON.
#pragma once

#include <string>

#include "measurement.h"

namespace tlskeep::bench {

struct Totals {
  double seconds = 0;
  double cpu_own_seconds = 0;     // of this tool's processes, the modules in them included
  double cpu_others_seconds = 0;  // of the processes named by --cpu-of, with their descendants
  ProcessResult sum;
};

// Adds one process's result.
void Add(ProcessResult& sum, const ProcessResult& one);

std::string ToJson(const Options& options, const Totals& totals);

}  // namespace tlskeep::bench
