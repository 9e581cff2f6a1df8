// tlskeep-sign-load: signs with a private key of any PKCS #11 module, or of a file, as fast as the threads
// can, and prints what it measured as a line of JSON. Exits with 1 if a signature failed or is wrong.
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <new>
#include <thread>

#include "process_cpu.h"
#include "report.h"
#include "stopwatch.h"

namespace tlskeep::bench {
namespace {

// Memory that processes share with those they fork.
template <typename Value>
Value* Shared(std::size_t count) {
  void* memory = mmap(nullptr, count * sizeof(Value), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw BenchError("no memory to share");
  return new (memory) Value[count];
}

void WaitUntil(const std::atomic<unsigned>& number, unsigned wanted) {
  while (number < wanted) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void Sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

// Leads the threads through the stages and takes times and CPU at both ends of what is measured.
Totals Conduct(const Options& options, Stage& stage) {
  const unsigned threads = options.processes * options.threads;
  WaitUntil(stage.ready, threads);
  // A number without a warm-up is exactly that many: who counts instructions has them all counted.
  const bool warms_up = options.count == 0 || options.warmup_seconds > 0;
  if (warms_up) {
    stage.start.Open();
    Sleep(options.warmup_seconds);
  }
  Totals totals;
  const std::vector<pid_t> own = {getpid()};
  const double own_before = ProcessTreeCpuSeconds(own);
  const double others_before = ProcessTreeCpuSeconds(options.cpu_of);
  const Stopwatch stopwatch;
  stage.phase = Stage::kMeasure;
  if (!warms_up) stage.start.Open();
  if (options.count > 0) {
    WaitUntil(stage.finished, threads);
  } else {
    Sleep(options.seconds);
  }
  stage.phase = Stage::kStop;
  totals.seconds = stopwatch.seconds();
  totals.cpu_own_seconds = ProcessTreeCpuSeconds(own) - own_before;
  totals.cpu_others_seconds = ProcessTreeCpuSeconds(options.cpu_of) - others_before;
  return totals;
}

Totals RunInOneProcess(const Options& options, Stage& stage, ProcessResult& result) {
  std::thread load([&] { RunProcess(options, 0, stage, result); });
  Totals totals = Conduct(options, stage);
  load.join();
  return totals;
}

Totals RunInChildren(const Options& options, Stage& stage, ProcessResult* results) {
  for (unsigned i = 0; i < options.processes; ++i) {
    const pid_t pid = fork();
    if (pid < 0) throw BenchError("cannot fork");
    if (pid == 0) {
      stage.start.LeaveOpeningToParent();
      RunProcess(options, i, stage, results[i]);
      _exit(0);
    }
  }
  Totals totals = Conduct(options, stage);
  while (wait(nullptr) > 0) {
  }
  return totals;
}

int Main(int argc, char** argv) {
  const Options options = ParseOptions(argc, argv);
  Stage& stage = *Shared<Stage>(1);
  stage.left = static_cast<std::int64_t>(options.count);
  ProcessResult* results = Shared<ProcessResult>(options.processes);
  Totals totals = options.processes == 1 ? RunInOneProcess(options, stage, results[0])
                                         : RunInChildren(options, stage, results);
  for (unsigned i = 0; i < options.processes; ++i) Add(totals.sum, results[i]);
  std::fputs(ToJson(options, totals).c_str(), stdout);
  return totals.sum.errors == 0 && totals.sum.latencies.total() > 0 ? 0 : 1;
}

}  // namespace
}  // namespace tlskeep::bench

int main(int argc, char** argv) {
  try {
    return tlskeep::bench::Main(argc, argv);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "tlskeep-sign-load: %s\n%s", error.what(), tlskeep::bench::kUsage);
    return 2;
  }
}
