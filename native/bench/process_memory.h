// Memory of this process.
#pragma once

namespace tlskeep::bench {

// What no other process shares, KiB. @see proc(5), /proc/pid/smaps_rollup
double PrivateKib();

}  // namespace tlskeep::bench
