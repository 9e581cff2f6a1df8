/**
 * The enclave service, put together from its edges. An entry point names the edges: the production
 * ones in `main.ts` and `main-general.ts`; another entry point is another image and so another PCR0.
 */
import { availableParallelism } from "node:os"
import type { Duplex } from "node:stream"
import type { Logger } from "pino"
import { KeyDirectory } from "../native/addon/index.js"
import type { Address } from "../shared/address.js"
import { PCR_COUNT } from "../shared/attestation/index.js"
import { listen, type TransportOptions } from "../shared/transport/transport.js"
import { VERSION } from "../shared/version.js"
import { describer, measure } from "./description.js"
import { recipientDecrypt } from "./kms/recipient-decrypt.js"
import { RelayAgent } from "./kms/relay-agent.js"
import { Nsm, type NsmDevice } from "./nsm/index.js"
import { Ownership } from "./ownership.js"
import type { UsagePolicy } from "./policy/usage-policy.js"
import { ControlConnection } from "./server/control-connection.js"
import { serve } from "./server/serve.js"
import { serveSigning } from "./server/serve-signing.js"
import { DirectoryPublication } from "./token/key-publication.js"
import { Provisioner } from "./token/provisioner.js"
import { TokenStore } from "./token/token-store.js"

/** Where the enclave ends and the world begins. */
export interface Edges {
  nsm: NsmDevice
  policy: UsagePolicy
  /** Roots in PEM that vouch for KMS. */
  kmsRoots: readonly string[]
  /** Opens a byte stream to the parent's relay to KMS. */
  connectKmsRelay: () => Promise<Duplex>
  signing: Address
  control: Address
  transport: TransportOptions
  log: Logger
}

export interface RunningEnclave {
  /** Stops serving and destroys all keys. */
  stop(): Promise<void>
}

const MAX_SIGNING_CONNECTIONS = 4_096
const MAX_CONTROL_CONNECTIONS = 16
const SWEEP_INTERVAL_MS = 30_000

/**
 * Boots the service: the NSM must answer before anything is served.
 *
 * @throws NsmError if it does not; CodedError `address-in-use`.
 */
export async function runEnclave(edges: Edges): Promise<RunningEnclave> {
  const { policy, transport, log } = edges
  const nsm = new Nsm(edges.nsm)
  const directory = new KeyDirectory()
  const store = new TokenStore({ publication: new DirectoryPublication(directory, policy) })
  const ownership = new Ownership()
  const agent = new RelayAgent({ connectRelay: edges.connectKmsRelay, roots: edges.kmsRoots })
  const provisioner = new Provisioner(store, recipientDecrypt(nsm, agent))
  const measurement = await measure(nsm)
  // Nothing here extends the PCRs that are not locked at boot: nobody shall.
  await nsm.lockPcrs(PCR_COUNT)

  const signing = await serveSigning({
    address: edges.signing,
    maxConnections: MAX_SIGNING_CONNECTIONS,
    threads: availableParallelism(),
    directory,
    store,
    policy,
    log,
  })
  const { latency } = signing
  const about = { measurement, store, policy, ownership, signing, latency, version: VERSION }
  const describe = describer(about)
  const control = await serve<Duplex>({
    listen: (onConnection) => listen(edges.control, onConnection, transport),
    refuse: (stream) => stream.on("error", () => {}).destroy(),
    maxConnections: MAX_CONTROL_CONNECTIONS,
    log,
    open: (stream, onClosed) =>
      new ControlConnection(
        stream,
        { ownership, provisioner, store, signing, describe, log },
        onClosed,
      ),
  }).catch(async (error: unknown) => {
    // Half an enclave must not stay up: nobody could provision it.
    await signing.close()
    throw error
  })
  const sweeper = setInterval(() => {
    for (const tokenLabel of store.sweep()) log.warn({ tokenLabel }, "token expired")
  }, SWEEP_INTERVAL_MS)
  const { moduleId, debug } = measurement
  log.info({ version: VERSION, moduleId, debug, policy: policy.name }, "enclave serves")
  return {
    stop: async () => {
      clearInterval(sweeper)
      await Promise.all([signing.close(), control.close()])
      for (const token of store.list()) store.remove(token)
      agent.destroy()
      edges.nsm.close()
    },
  }
}
