/** Accepts connections on an address, a bounded number of them, and ends them together. */
import type { Duplex } from "node:stream"
import type { Logger } from "pino"
import type { Address } from "../../shared/address.js"
import { type Listener, listen, type TransportOptions } from "../../shared/transport/transport.js"

interface Connection {
  destroy(): void
}

export interface ServeOptions {
  address: Address
  transport: TransportOptions
  maxConnections: number
  log: Logger
  /** Takes over a stream; `onClosed` must be called once when it is gone. */
  open(stream: Duplex, onClosed: () => void): Connection
}

/**
 * Serves until closed; closing ends the open connections too. A connection beyond the limit is
 * closed at once.
 */
export async function serve(options: ServeOptions): Promise<Listener> {
  const { address, transport, maxConnections, log, open } = options
  const connections = new Set<Connection>()
  const listener = await listen(
    address,
    (stream) => {
      if (connections.size >= maxConnections) {
        log.warn({ maxConnections }, "connection refused: too many are open")
        stream.on("error", () => {})
        stream.destroy()
        return
      }
      const connection = open(stream, () => connections.delete(connection))
      connections.add(connection)
    },
    transport,
  )
  return {
    close: async () => {
      await listener.close()
      for (const connection of connections) connection.destroy()
    },
  }
}
