/** Accepts connections on an address, a bounded number of them, and ends them together. */
import type { Duplex } from "node:stream"
import type { Logger } from "pino"
import type { Address } from "../../shared/address.js"
import { listen, type TransportOptions } from "../../shared/transport/transport.js"

interface Connection {
  destroy(): void
  /** Closes when nothing is left to answer; absent where a connection may be cut off at once. */
  drain?(): void
}

export interface ServeOptions {
  address: Address
  transport: TransportOptions
  maxConnections: number
  log: Logger
  /** Takes over a stream; `onClosed` must be called once when it is gone. */
  open(stream: Duplex, onClosed: () => void): Connection
}

/** A service that accepts connections. */
export interface Service {
  readonly connections: { open: number; accepted: number }
  readonly draining: boolean
  /** Takes no connection from now on, and closes each open one when it has its answers. */
  drain(): void
  /** Stops listening and ends the open connections. */
  close(): Promise<void>
}

/**
 * Serves until closed; closing ends the open connections too. A connection beyond the limit is
 * closed at once.
 */
export async function serve(options: ServeOptions): Promise<Service> {
  const { address, transport, maxConnections, log, open } = options
  const connections = new Set<Connection>()
  let accepted = 0
  let draining = false
  const listener = await listen(
    address,
    (stream) => {
      if (draining || connections.size >= maxConnections) {
        if (!draining) log.warn({ maxConnections }, "connection refused: too many are open")
        stream.on("error", () => {})
        stream.destroy()
        return
      }
      accepted++
      const connection = open(stream, () => connections.delete(connection))
      connections.add(connection)
    },
    transport,
  )
  return {
    get connections() {
      return { open: connections.size, accepted }
    },
    get draining() {
      return draining
    },
    drain: () => {
      draining = true
      for (const connection of connections) connection.drain?.()
    },
    close: async () => {
      await listener.close()
      for (const connection of connections) connection.destroy()
    },
  }
}
