/** What the enclave tells its owner about itself. */
import {
  type EnclaveDescription,
  encodeControlResult,
  type TokenDescription,
} from "../shared/protocol/control.js"
import type { Nsm } from "./nsm/index.js"
import type { Ownership } from "./ownership.js"
import type { UsagePolicy } from "./policy/usage-policy.js"
import type { LatencyMeter } from "./server/latency.js"
import { fittingFrame } from "./server/page.js"
import type { Service } from "./server/serve.js"
import { describeToken } from "./token/token.js"
import type { TokenStore } from "./token/token-store.js"

/** Describes the enclave with its tokens from `offset` on, as many as fit a frame. */
export type Describe = (offset?: number) => EnclaveDescription

/** PCRs 0 to 15 are locked at boot; 0, 1 and 2 are zero for an enclave in debug mode. */
const LOCKED_PCRS = 16
const DEBUG_ZERO_PCRS = [0, 1, 2]
/** Room for all but the tokens: mostly 16 PCRs in hex. */
const ENVELOPE_BYTES = 4_096

/** What the NSM says of the running image. */
export type Measurement = Pick<EnclaveDescription, "moduleId" | "pcrs" | "debug" | "bootedAt">

/**
 * Asks the NSM, once at boot: PCRs 0 to 15 never change.
 *
 * @throws NsmError if it does not answer
 */
export async function measure(nsm: Nsm): Promise<Measurement> {
  const { moduleId } = await nsm.describe()
  const pcrs: Record<string, string> = {}
  for (let index = 0; index < LOCKED_PCRS; index++) {
    const { value } = await nsm.describePcr(index)
    pcrs[index] = Buffer.from(value).toString("hex")
  }
  const debug = DEBUG_ZERO_PCRS.every((index) => /^0*$/.test(pcrs[index] ?? ""))
  return { moduleId, pcrs, debug, bootedAt: Date.now() }
}

/** Describes on demand. */
export function describer(deps: {
  measurement: Measurement
  store: TokenStore
  policy: UsagePolicy
  ownership: Ownership
  /** The signing service and its meter. */
  signing: Pick<Service, "connections" | "draining">
  latency: LatencyMeter
  version: string
}): Describe {
  const { measurement, store, policy, ownership, signing, latency, version } = deps
  return (offset = 0) => ({
    version,
    ...measurement,
    phase: ownership.phase,
    policy: policy.name,
    now: Date.now(),
    generation: store.generation,
    connections: signing.connections,
    latency: latency.read(),
    draining: signing.draining,
    tokens: pageOf(store, offset),
  })
}

function pageOf(store: TokenStore, offset: number): TokenDescription[] {
  return fittingFrame(
    store.list().slice(offset),
    ENVELOPE_BYTES,
    describeToken,
    (description) => encodeControlResult(0, description).length,
  )
}
