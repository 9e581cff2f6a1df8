/** The relay between the enclave and KMS: running, to the right host, and allowed to. */
import { KMS_RELAY_PORT } from "../../../shared/protocol/limits.js"
import { checkVsockProxy } from "../../enclave-host/vsock-proxy.js"
import { Reporter } from "../finding.js"
import { kmsHost, regionOf } from "../region.js"
import type { HostCheck } from "../run.js"

const report = new Reporter("vsock-proxy")

export const vsockProxy: HostCheck = {
  name: "vsock-proxy",
  run: async (context) => {
    const region = await context.once(regionOf)
    if (region === undefined) {
      const title = "whether vsock-proxy relays to the right KMS cannot be told"
      const advice = "Set aws.region."
      return [report.unknown("vsock-proxy-unseen", title, "The region is not known.", advice)]
    }
    const found = await checkVsockProxy({
      port: KMS_RELAY_PORT,
      remoteHost: kmsHost(region),
      procDir: context.paths.procDir,
      allowlistFile: context.paths.vsockProxyFile,
    })
    switch (found.state) {
      case "running":
        return [report.ok(`relays port ${KMS_RELAY_PORT} to ${kmsHost(region)}`)]
      case "not-running":
        return [
          report.problem(
            "vsock-proxy-not-running",
            found.reason,
            "The enclave reaches KMS through it, and nothing else.",
            found.advice,
          ),
        ]
      case "other-remote": {
        const title = "vsock-proxy relays to another host than KMS of this region"
        return [report.problem("vsock-proxy-elsewhere", title, found.reason, found.advice)]
      }
      case "not-allowed": {
        const title = "vsock-proxy's allowlist leaves KMS of this region out"
        return [report.problem("vsock-proxy-not-allowed", title, found.reason, found.advice)]
      }
      case "unknown": {
        const title = "vsock-proxy cannot be seen"
        return [report.unknown("vsock-proxy-unseen", title, found.reason, found.advice)]
      }
    }
  },
}
