/**
 * Moves all tokens from the enclave that serves to a new one beside it. Until servers are sent to the new
 * one, nothing has changed for them, and any failure leaves it so; from then on both sign.
 */
import { setTimeout as sleep } from "node:timers/promises"
import type { EnclaveHost, OwnedEnclave } from "../enclave-host/enclave-host.js"
import { errorFields } from "../errors.js"
import type { AgentDeps } from "./agent.js"

export interface Replaced {
  enclaveId: string
  pcr0: string
}

export interface ReplaceOptions {
  imagePath: string | undefined
  signal: AbortSignal
  say(step: string): void
}

/** As long as the module tries a request: then none is left that could wait for the former enclave. */
const DRAIN_TIMEOUT_MS = 10_000
const DRAIN_LOOK_MS = 100

/** @throws AgentError of the step that failed; the new enclave has been terminated then. */
export async function replaceEnclave(
  deps: AgentDeps,
  former: OwnedEnclave,
  { imagePath, signal, say }: ReplaceOptions,
): Promise<OwnedEnclave> {
  const { host, keepers, runDir } = deps
  say(`starting another enclave beside ${former.enclaveId}`)
  const successor = await host.startBeside(former, imagePath)
  try {
    const { pcrs, debug } = successor.description
    say(`${successor.enclaveId} runs, PCR0 ${pcrs["0"]}${debug ? ", in debug mode" : ""}`)
    let done = 0
    await runDir.withEndpointFile(successor.signing, (endpointFile) =>
      // Whoever fails, the others' key material is not left half on its way.
      settleAll(
        keepers.map(async (keeper) => {
          await keeper.prepare(successor, endpointFile, signal)
          say(`token ${keeper.label} is ready there (${++done} of ${keepers.length})`)
        }),
      ),
    )
    await runDir.writeEndpoint(successor.signing)
  } catch (error) {
    successor.client.close()
    await endEnclave(deps, successor)
    throw error
  }
  say("servers are sent to the new enclave")
  await drain(former).catch((error: unknown) => {
    // It may be the reason for the replacement that it does not answer.
    deps.log.warn(errorFields(error), "former enclave not drained")
  })
  former.client.close()
  await endEnclave(deps, former)
  say(`${former.enclaveId} terminated`)
  return successor
}

/** Has connections end behind their last answers; those that do not end in time are cut off. */
async function drain({ client }: OwnedEnclave): Promise<void> {
  await client.drain()
  const deadline = performance.now() + DRAIN_TIMEOUT_MS
  while (performance.now() < deadline) {
    const { connections } = await client.describe()
    if (connections.open === 0) return
    await sleep(DRAIN_LOOK_MS)
  }
}

async function endEnclave(
  { host, log }: { host: EnclaveHost; log: AgentDeps["log"] },
  enclave: OwnedEnclave,
): Promise<void> {
  await host.terminate(enclave).catch((error: unknown) => {
    log.error({ enclaveId: enclave.enclaveId, ...errorFields(error) }, "enclave not terminated")
  })
}

/** Waits for all, then fails as the first that failed. */
async function settleAll(work: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(work)
  await Promise.all(work)
}
