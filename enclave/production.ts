/**
 * Runs the enclave service with production's edges: the real NSM, Amazon's roots, the enclave's
 * vsock. An entry point adds the usage policy; all of it is measured, the parent can set none of it.
 */
import { pino } from "pino"
import { openNsmDevice, VMADDR_CID_ANY } from "../native/addon/index.js"
import { vsockTransport } from "../native/addon/vsock-transport.js"
import {
  CONTROL_PORT,
  KMS_RELAY_PORT,
  PARENT_CID,
  SIGNING_PORT,
} from "../shared/protocol/limits.js"
import { AMAZON_ROOTS } from "./kms/amazon-roots.js"
import { requireNsmEntropy } from "./nsm/index.js"
import type { UsagePolicy } from "./policy/usage-policy.js"
import { runEnclave } from "./run.js"

/** The two edges that the image for a virtual machine puts in place of production's. */
export interface OtherEdges {
  /** Roots in PEM that vouch for KMS. */
  kmsRoots?: readonly string[]
  /** CID of the parent. */
  parentCid?: number
}

/** Serves until the enclave ends; one that cannot start says why and sets a failing exit code. */
export async function runInProduction(
  policy: UsagePolicy,
  { kmsRoots = AMAZON_ROOTS, parentCid = PARENT_CID }: OtherEdges = {},
): Promise<void> {
  const log = pino({ name: "tlskeep-enclave" })
  // The AWS SDK looks for its files there, none of which exist. Without it Node.js would look the user
  // up in /etc/passwd, and fail where the image has none.
  process.env.HOME ??= "/"
  try {
    await requireNsmEntropy()
    await runEnclave({
      nsm: openNsmDevice(),
      policy,
      kmsRoots,
      connectKmsRelay: () =>
        vsockTransport.connect({ cid: parentCid, port: KMS_RELAY_PORT, timeoutMs: 10_000 }),
      signing: { kind: "vsock", cid: VMADDR_CID_ANY, port: SIGNING_PORT },
      control: { kind: "vsock", cid: VMADDR_CID_ANY, port: CONTROL_PORT },
      transport: { vsock: vsockTransport },
      log,
    })
  } catch (error) {
    log.fatal({ err: error }, "the enclave cannot start")
    process.exitCode = 1
  }
}
