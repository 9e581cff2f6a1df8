// CPU time that processes have used, with all their descendants.
#pragma once

#include <sys/types.h>

#include <vector>

namespace tlskeep::bench {

// User and system time of the processes and of all that descend from them, in seconds; children that have
// ended count where their parent has waited for them. Exact to a clock tick, 10 ms as a rule.
// @see proc(5), /proc/pid/stat and /proc/pid/task/tid/children
double ProcessTreeCpuSeconds(const std::vector<pid_t>& roots);

}  // namespace tlskeep::bench
