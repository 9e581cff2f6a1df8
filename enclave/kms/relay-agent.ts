/**
 * HTTPS to KMS through the parent's byte relay. TLS ends here: the parent sees and forges nothing,
 * since only the roots handed in vouch for KMS's name.
 */
import { Agent, type AgentOptions } from "node:https"
import type { Duplex } from "node:stream"
import {
  type ConnectionOptions,
  connect as connectTls,
  createSecureContext,
  type SecureContext,
} from "node:tls"
import { CodedError } from "../../shared/errors.js"

export interface RelayAgentOptions {
  /** Opens a raw byte stream to the relay. */
  connectRelay: () => Promise<Duplex>
  /** Root certificates in PEM that KMS's chain must end in. */
  roots: readonly string[]
  /** Idle connections are kept this long, in ms. */
  idleMs?: number
  /** Longest TLS handshake, in ms: a relay that says nothing must not keep its connection. */
  handshakeMs?: number
}

type OnCreate = (error: Error | null, stream: Duplex) => void

/** An `https.Agent` whose every connection goes through the relay. */
export class RelayAgent extends Agent {
  readonly #connectRelay: () => Promise<Duplex>
  /** Made once: each holds all roots anew, outside of what V8 counts. */
  readonly #secureContext: SecureContext
  readonly #handshakeMs: number

  constructor({ connectRelay, roots, idleMs = 10_000, handshakeMs = 10_000 }: RelayAgentOptions) {
    const options: AgentOptions = { keepAlive: true, maxSockets: 16, timeout: idleMs }
    super(options)
    this.#connectRelay = connectRelay
    this.#secureContext = createSecureContext({ ca: [...roots], minVersion: "TLSv1.2" })
    this.#handshakeMs = handshakeMs
  }

  /** Called by Node for each new connection. */
  override createConnection(options: ConnectionOptions, onCreate?: OnCreate): null {
    const { host, servername = host } = options
    this.#open(servername ?? "").then(
      (stream) => onCreate?.(null, stream),
      (error: Error) => onCreate?.(error, undefined as unknown as Duplex),
    )
    return null
  }

  async #open(servername: string): Promise<Duplex> {
    const socket = await this.#connectRelay()
    return new Promise((resolve, reject) => {
      const secure = connectTls({
        socket,
        servername,
        secureContext: this.#secureContext,
        rejectUnauthorized: true,
      })
      const onError = (error: Error): void => {
        clearTimeout(timer)
        secure.destroy()
        socket.destroy()
        reject(error)
      }
      const timer = setTimeout(
        () => onError(new CodedError("connection-timeout", "no TLS handshake through the relay")),
        this.#handshakeMs,
      )
      secure.once("error", onError)
      secure.once("secureConnect", () => {
        clearTimeout(timer)
        secure.off("error", onError)
        resolve(secure)
      })
    })
  }
}
