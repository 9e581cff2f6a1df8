/** A TCP link to one of the simulator's services that can be cut, as an outage does, and mended. */
import { once } from "node:events"
import { connect, createServer, type Server, type Socket } from "node:net"

/** Refuses connections, or takes them and lets them wait for ever. */
export type Outage = "refusing" | "silent"

export class Link {
  readonly #target: number
  readonly #sockets = new Set<Socket>()
  readonly #server: Server
  #port = 0
  #silent = false

  private constructor(target: number) {
    this.#target = target
    this.#server = createServer((client) => this.#relay(client))
  }

  /** A link to a port of 127.0.0.1. */
  static async to(port: number): Promise<Link> {
    const link = new Link(port)
    await link.#listen()
    return link
  }

  get port(): number {
    return this.#port
  }

  /** Ends what is under way. */
  async cut(how: Outage = "refusing"): Promise<void> {
    this.#silent = how === "silent"
    for (const socket of this.#sockets) socket.destroy()
    if (how === "refusing") await this.#close()
  }

  async mend(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    this.#silent = false
    if (!this.#server.listening) await this.#listen()
  }

  async stop(): Promise<void> {
    await this.cut()
  }

  async #listen(): Promise<void> {
    this.#server.listen(this.#port, "127.0.0.1")
    await once(this.#server, "listening")
    const address = this.#server.address()
    if (address === null || typeof address === "string") throw new Error("no port to listen at")
    this.#port = address.port
  }

  async #close(): Promise<void> {
    if (!this.#server.listening) return
    const closed = once(this.#server, "close")
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #relay(client: Socket): void {
    this.#hold(client)
    if (this.#silent) return
    const service = connect(this.#target, "127.0.0.1")
    this.#hold(service)
    client.pipe(service).pipe(client)
    client.once("close", () => service.destroy())
    service.once("close", () => client.destroy())
  }

  #hold(socket: Socket): void {
    this.#sockets.add(socket)
    socket.on("error", () => socket.destroy())
    socket.once("close", () => this.#sockets.delete(socket))
  }
}
