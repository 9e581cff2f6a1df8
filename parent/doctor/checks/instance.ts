/** Whether this instance can run enclaves at all. */
import { access } from "node:fs/promises"
import { Reporter } from "../finding.js"
import type { HostCheck } from "../run.js"

const report = new Reporter("instance")

export const instance: HostCheck = {
  name: "instance",
  run: async ({ paths }) => {
    try {
      await access(paths.nitroDevice)
      return [report.ok("enclaves are enabled", `${paths.nitroDevice} is there.`)]
    } catch {
      return [
        report.problem(
          "enclaves-not-enabled",
          "this instance cannot run enclaves",
          `${paths.nitroDevice} is not there.`,
          "Launch an instance of a type that has enclaves with --enclave-options Enabled=true; it cannot be switched on later. On one that was, load the driver: modprobe nitro_enclaves.",
        ),
      ]
    }
  },
}
