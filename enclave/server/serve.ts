/** Accepts connections, a bounded number of them, and ends them together. */
import type { Logger } from "pino"
import type { Listener } from "../../shared/transport/transport.js"

interface Connection {
  destroy(): void
  /** Closes when nothing is left to answer; absent where a connection may be cut off at once. */
  drain?(): void
}

/** `Peer` is what the listener hands out for a connection: a stream, a descriptor. */
export interface ServeOptions<Peer> {
  listen(onConnection: (peer: Peer) => void): Promise<Listener>
  /** Closes a connection that is not taken. */
  refuse(peer: Peer): void
  /**
   * Takes a connection over; `onClosed` must be called once when it is gone. One that cannot be served is
   * closed before this throws.
   */
  open(peer: Peer, onClosed: () => void): Connection
  maxConnections: number
  log: Logger
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
export async function serve<Peer>(options: ServeOptions<Peer>): Promise<Service> {
  const { listen, refuse, open, maxConnections, log } = options
  const connections = new Set<Connection>()
  let accepted = 0
  let draining = false
  const listener = await listen((peer) => {
    if (draining || connections.size >= maxConnections) {
      if (!draining) log.warn({ maxConnections }, "connection refused: too many are open")
      refuse(peer)
      return
    }
    try {
      const connection: Connection = open(peer, () => connections.delete(connection))
      connections.add(connection)
      accepted++
    } catch (error) {
      // For want of memory, say: this peer's loss alone.
      log.error({ err: error }, "connection refused")
    }
  })
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
