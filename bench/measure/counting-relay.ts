/** A relay between a Unix socket and another that counts round trips: requests that had to be waited for. */

import { once } from "node:events"
import { chmod } from "node:fs/promises"
import { connect, createServer, type Server, type Socket } from "node:net"

/**
 * Counts the turns of each connection: a client that speaks after its server has spoken, or first,
 * begins a round trip. What it writes in several pieces without an answer in between is one.
 * True of clients that wait for each answer before they ask again, as PKCS #11 modules do in a thread.
 */
export class CountingRelay {
  /** Where clients connect to. */
  readonly path: string
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  #roundTrips = 0

  private constructor(path: string, target: string) {
    this.path = path
    this.#server = createServer({ allowHalfOpen: true }, (client) => this.#relay(client, target))
  }

  /** Listens at `path` for everybody, and relays to `target`. */
  static async start(path: string, target: string): Promise<CountingRelay> {
    const relay = new CountingRelay(path, target)
    relay.#server.listen(path)
    await once(relay.#server, "listening")
    await chmod(path, 0o666)
    return relay
  }

  /** So far, of all connections. */
  get roundTrips(): number {
    return this.#roundTrips
  }

  async stop(): Promise<void> {
    const closed = once(this.#server, "close")
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #relay(client: Socket, target: string): void {
    const service = connect({ path: target, allowHalfOpen: true })
    let last: "client" | "service" = "service"
    for (const [from, to, who] of [
      [client, service, "client"],
      [service, client, "service"],
    ] as const) {
      this.#sockets.add(from)
      from.on("data", (chunk) => {
        if (who === "client" && last === "service") this.#roundTrips++
        last = who
        if (!to.write(chunk)) from.pause()
      })
      to.on("drain", () => from.resume())
      from.on("end", () => to.end())
      from.on("error", () => to.destroy())
      from.once("close", () => {
        this.#sockets.delete(from)
        to.destroySoon()
      })
    }
  }
}
