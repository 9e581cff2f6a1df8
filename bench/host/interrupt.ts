/** Ctrl-C stops everything: Apache is a daemon, and enclaves outlive who started them. */
import type { Testbed } from "../../sim/testbed/testbed.js"

export function stopWhenInterrupted(testbed: Testbed): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      process.stderr.write("interrupted: stopping everything\n")
      void testbed.down().finally(() => process.exit(130))
    })
  }
}
