// The load itself: threads that sign until told to stop, in one process or several forked ones.
#pragma once

#include <atomic>

#include "histogram.h"
#include "options.h"
#include "start_line.h"

namespace tlskeep::bench {

// What one process has measured. Lies in memory that forked processes share.
struct ProcessResult {
  Histogram latencies;
  std::uint64_t verified = 0;
  std::uint64_t errors = 0;
  std::uint64_t keys = 0;
  double load_us = 0;
  double initialize_us = 0;
  double module_private_kib = 0;  // private memory that loading the module, login and search have added
  double first_signature_us = 0;  // from C_Initialize's end: login, search and one signature
  char first_error[160] = {};
};

// Where the processes of a load stand, told by the first of them. Lies in shared memory too.
struct Stage {
  StartLine start;
  enum Phase : int { kWarmUp, kMeasure, kStop };
  std::atomic<int> phase = kWarmUp;
  std::atomic<unsigned> ready = 0;     // threads that have signed once, or failed
  std::atomic<unsigned> finished = 0;  // threads that have ended
  std::atomic<std::int64_t> left = 0;  // signatures to go, with --count
};

// Runs the threads of one process to their end.
// @param process its number, from 0
void RunProcess(const Options& options, unsigned process, Stage& stage, ProcessResult& result);

}  // namespace tlskeep::bench
