/**
 * The simulated vsock-proxy: takes connections at a port of the parent (CID 3) and relays raw bytes
 * to one TCP address, which the simulator's hosts map stands in for.
 */
import { once } from "node:events"
import { connect, createServer, type Socket } from "node:net"
import { join } from "node:path"
import type { Logger } from "pino"
import { CodedError } from "../../shared/errors.js"
import { PARENT_CID } from "../../shared/protocol/limits.js"
import { readSimInfo } from "../info.js"
import { listenAtSocket } from "../lifecycle.js"
import { isRecording } from "../nitro/recording.js"
import { type SimPaths, vsockPath } from "../paths.js"
import { openRecorder, relay } from "../relay.js"
import { requireAllowed, type VsockProxyErrorCode } from "./allowlist.js"

/** What the command line says. */
export interface VsockProxyOptions {
  paths: SimPaths
  localPort: number
  remoteAddress: string
  remotePort: number
  /** Most connections relayed at once; more wait. */
  workers: number
  /** The allowlist, YAML. */
  configFile: string
  log: Logger
}

/** A proxy that relays. */
export interface VsockProxy {
  /** Stops listening and ends the relays under way. */
  stop(): Promise<void>
}

/**
 * Starts relaying.
 *
 * @throws CodedError `not-allowed`, `bad-allowlist`, or `unknown-host`.
 */
export async function startVsockProxy(options: VsockProxyOptions): Promise<VsockProxy> {
  const { paths, localPort, remoteAddress, remotePort, log } = options
  requireAllowed(options.configFile, remoteAddress, remotePort)
  resolveRemote(paths, remoteAddress, remotePort)
  const recorder = isRecording(paths)
    ? await openRecorder(join(paths.recordDir, `${PARENT_CID}_${localPort}.bin`))
    : undefined

  const slots = new Slots(options.workers)
  const open = new Set<Socket>()
  const relayClient = async (client: Socket) => {
    // Looked up for each connection, as the real one does: the service may have moved.
    const target = resolveRemote(paths, remoteAddress, remotePort)
    const remote = connect({ ...target, allowHalfOpen: true })
    remote.once("error", (error) => log.warn({ err: error }, "remote connection failed"))
    await relay(client, remote, recorder)
  }
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (client) => {
    open.add(client)
    client.once("close", () => open.delete(client))
    client.on("error", () => client.destroy())
    slots
      .run(() => relayClient(client))
      .catch((error: unknown) => {
        log.error({ err: error }, "no relay")
        client.destroy()
      })
  })
  await listenAtSocket(server, vsockPath(paths.vsockDir, PARENT_CID, localPort))
  log.info({ localPort, remoteAddress, remotePort }, "relaying")
  return {
    stop: async () => {
      const closed = once(server, "close")
      server.close()
      for (const client of open) client.destroy()
      await closed
      await recorder?.close()
    },
  }
}

/** DNS as the simulator has it: `hosts` in sim.json. */
function resolveRemote(paths: SimPaths, address: string, port: number) {
  const target = readSimInfo(paths)?.hosts[`${address}:${port}`]
  if (target !== undefined) return target
  throw new CodedError<VsockProxyErrorCode>("unknown-host", `${address}:${port} is not simulated`)
}

/** Lets so many jobs run at once and the others wait in line. */
class Slots {
  #free: number
  readonly #waiting: (() => void)[] = []

  constructor(count: number) {
    this.#free = count
  }

  async run(job: () => Promise<void>): Promise<void> {
    if (this.#free > 0) this.#free -= 1
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      await job()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#free += 1
    }
  }
}
