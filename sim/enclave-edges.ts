/** Runs the production enclave service with simulated edges, until SIGTERM. */
import { readFileSync } from "node:fs"
import { pino } from "pino"
import type { UsagePolicy } from "../enclave/policy/usage-policy.js"
import { runEnclave } from "../enclave/run.js"
import { CONTROL_PORT, KMS_RELAY_PORT, SIGNING_PORT } from "../shared/protocol/limits.js"
import { connect } from "../shared/transport/transport.js"
import { enclaveListenPath, parentPath, readSimBoot, sendBootHeartbeat } from "./boot.js"
import { loadNitroPki, SimulatedNsm } from "./nsm/index.js"

/** Boots as nitro-cli's simulator started it; an entry point adds the usage policy. */
export async function runSimulatedEnclave(policy: UsagePolicy): Promise<void> {
  const boot = readSimBoot()
  const log = pino({ name: "tlskeep-enclave" })
  const pcrs = new Map(
    Object.entries(boot.pcrs).map(([index, hex]) => [Number(index), Buffer.from(hex, "hex")]),
  )
  const enclave = await runEnclave({
    nsm: new SimulatedNsm({
      moduleId: boot.moduleId,
      pcrs,
      pki: await loadNitroPki(boot.nitroPkiDir),
    }),
    policy,
    kmsRoots: [readFileSync(boot.caFile, "utf8")],
    connectKmsRelay: () => connect({ kind: "unix", path: parentPath(boot, KMS_RELAY_PORT) }),
    signing: { kind: "unix", path: enclaveListenPath(boot, SIGNING_PORT) },
    control: { kind: "unix", path: enclaveListenPath(boot, CONTROL_PORT) },
    transport: {},
    log,
  })
  process.once("SIGTERM", () => {
    enclave.stop().then(() => process.exit(0))
  })
  await sendBootHeartbeat(boot)
}
