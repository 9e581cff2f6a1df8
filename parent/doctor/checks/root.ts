/** Whether doctor may see what it looks at. */
import { Reporter } from "../finding.js"
import type { HostCheck } from "../run.js"

const report = new Reporter("root")

export const root: HostCheck = {
  name: "root",
  run: async ({ uid }) => {
    if (uid === 0) return [report.ok("runs as root")]
    return [
      report.problem(
        "not-root",
        "does not run as root",
        "Files, processes and devices that belong to root are out of sight, so what follows may be wrong.",
        "Run it by sudo.",
      ),
    ]
  },
}
