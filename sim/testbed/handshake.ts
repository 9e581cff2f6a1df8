/** Verified TLS handshakes with a server under test, one or an endless load of them. */
import { connect, type TLSSocket } from "node:tls"
import { CodedError } from "../../shared/errors.js"

export interface HandshakeOptions {
  port: number
  /** PEM of the root that has to vouch for the server. */
  ca: string
  timeoutMs?: number
  protocol?: "TLSv1.2" | "TLSv1.3"
}

/**
 * One full TLS handshake with localhost, verified, without resumption.
 *
 * @returns the protocol that was agreed on
 * @throws the socket's error; CodedError `handshake-timeout`
 */
export function handshake(options: HandshakeOptions): Promise<string> {
  const { port, ca, timeoutMs = 20_000, protocol } = options
  return new Promise((resolve, reject) => {
    const socket: TLSSocket = connect({
      ...{ host: "127.0.0.1", port, servername: "localhost", ca, timeout: timeoutMs },
      ...(protocol === undefined ? {} : { minVersion: protocol, maxVersion: protocol }),
    })
    socket.once("secureConnect", () => {
      resolve(socket.getProtocol() ?? "")
      socket.destroy()
    })
    socket.once("error", reject)
    socket.once("timeout", () => {
      socket.destroy()
      reject(new CodedError("handshake-timeout", `no handshake in ${timeoutMs} ms`))
    })
  })
}

/** Clients that do one thing over and over and keep count. */
export class Load {
  readonly #work: () => Promise<unknown>
  readonly failures: string[] = []
  done = 0
  #stopped = false
  readonly #clients: Promise<void>[] = []

  constructor(work: () => Promise<unknown>) {
    this.#work = work
  }

  /** Adds so many. */
  start(clients: number): void {
    this.#clients.push(...Array.from({ length: clients }, () => this.#loop()))
  }

  async reach(count: number): Promise<void> {
    while (this.done < count) await new Promise((resolve) => setTimeout(resolve, 20))
  }

  /** Waits until so many more are done. */
  more(count: number): Promise<void> {
    return this.reach(this.done + count)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await Promise.all(this.#clients)
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      await this.#work().catch((error: Error) => this.failures.push(error.message))
      this.done++
    }
  }
}
