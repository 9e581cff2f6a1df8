/** The signing service: connections on the addon's threads, and the event loop for what these leave to it. */
import type { Logger } from "pino"
import { closeDescriptor, type KeyDirectory, SigningService } from "../../native/addon/index.js"
import type { Address } from "../../shared/address.js"
import type { UsagePolicy } from "../policy/usage-policy.js"
import type { TokenStore } from "../token/token-store.js"
import { LATENCY_BOUNDS, LatencyMeter } from "./latency.js"
import { listenDescriptors } from "./listen-descriptors.js"
import { type Service, serve } from "./serve.js"
import { SigningConnection } from "./signing-connection.js"

export interface ServeSigningOptions {
  address: Address
  maxConnections: number
  /** That read and sign. */
  threads: number
  /** Where the store publishes its keys. */
  directory: KeyDirectory
  store: TokenStore
  policy: UsagePolicy
  log: Logger
}

/** Serves until closed. @throws CodedError `address-in-use`; AddonError */
export async function serveSigning(
  options: ServeSigningOptions,
): Promise<Service & { readonly latency: LatencyMeter }> {
  const { address, maxConnections, threads, directory, store, policy, log } = options
  const signers = new SigningService(directory, { threads, latencyBounds: LATENCY_BOUNDS })
  const latency = new LatencyMeter(() => signers.latency())
  const deps = { store, policy, latency, log }
  try {
    const service = await serve<number>({
      listen: (onConnection) => listenDescriptors(address, onConnection),
      refuse: closeDescriptor,
      open: (fd, onClosed) =>
        new SigningConnection((handlers) => signers.adopt(fd, handlers), deps, onClosed),
      maxConnections,
      log,
    })
    return {
      latency,
      get connections() {
        return service.connections
      },
      get draining() {
        return service.draining
      },
      drain: () => service.drain(),
      close: async () => {
        await service.close()
        signers.stop()
      },
    }
  } catch (error) {
    signers.stop()
    throw error
  }
}
