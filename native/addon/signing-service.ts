/**
 * The service's connections, on threads of the addon's: they read, sign what a {@link KeyDirectory} admits
 * and answer, without the event loop. Every other request comes here, to be answered from JavaScript.
 */
import { binding, type NativeSigningService } from "./binding.js"
import { KeyDirectory } from "./key-directory.js"

/** Why nothing more is read from a connection: the peer's end, as a rule, or its broken framing. */
export type EndReason = "ended" | "frame-truncated" | "frame-too-large" | "frame-empty"

const END_REASONS: readonly EndReason[] = [
  "ended",
  "frame-truncated",
  "frame-too-large",
  "frame-empty",
]
const REQUEST = 0
const END = 1
/** Time for a peer to take its last answers, in ms. */
const CLOSE_TIMEOUT_MS = 1_000

export interface SigningChannelHandlers {
  /** A request. The next one is read when this returns. */
  payload(payload: Buffer): void
  /** Nothing more will be read. The handler may still send, then close. */
  ended(reason: EndReason): void
  /** The connection is gone; called once. */
  closed(): void
}

export interface SigningServiceOptions {
  /** Threads that read and sign: as many as there are cores. */
  readonly threads: number
  /** Upper ends of the latency histogram's buckets, in µs, ascending. */
  readonly latencyBounds: readonly number[]
}

/** How long signatures took, from the request read to the answer written. */
export interface SigningLatency {
  /** Of each bucket; the last is for what is above all bounds. */
  readonly counts: readonly number[]
  /** Of all, in µs. */
  readonly sum: number
}

export class SigningService {
  readonly #native: NativeSigningService
  readonly #channels = new Map<number, SigningChannelHandlers>()
  #stopped = false

  constructor(directory: KeyDirectory, { threads, latencyBounds }: SigningServiceOptions) {
    this.#native = new binding.SigningService(
      KeyDirectory.nativeOf(directory),
      latencyBounds,
      threads,
      (event, connection, detail) => this.#onEvent(event, connection, detail),
    )
  }

  /**
   * Serves a connected stream socket of any family, which it takes over.
   *
   * @throws AddonError if it cannot be served; it is closed then
   */
  adopt(fd: number, handlers: SigningChannelHandlers): SigningChannel {
    const connection = this.#native.adopt(fd)
    this.#channels.set(connection, handlers)
    return new SigningChannel(this.#native, connection)
  }

  latency(): SigningLatency {
    const [sum = 0, ...counts] = this.#native.latency()
    return { counts, sum }
  }

  /** Ends the threads and the connections, whose handlers are told. May be repeated. */
  stop(): void {
    if (this.#stopped) return
    this.#stopped = true
    this.#native.stop()
    const channels = [...this.#channels.values()]
    this.#channels.clear()
    for (const handlers of channels) handlers.closed()
  }

  #onEvent(event: number, connection: number, detail: Buffer | number): void {
    const handlers = this.#channels.get(connection)
    if (event === REQUEST) {
      handlers?.payload(detail as Buffer)
    } else if (event === END) {
      handlers?.ended(END_REASONS[detail as number] ?? "ended")
    } else {
      this.#channels.delete(connection)
      handlers?.closed()
    }
  }
}

/** One connection. Nothing happens to one that is closed. */
export class SigningChannel {
  readonly #native: NativeSigningService
  readonly #connection: number

  constructor(native: NativeSigningService, connection: number) {
    this.#native = native
    this.#connection = connection
  }

  /** Sends one payload in a frame. While the peer does not read, nothing more is read from it. */
  send(payload: Uint8Array): void {
    this.#native.send(this.#connection, payload)
  }

  /** Lets the threads sign for this connection: it has said hello. */
  greet(): void {
    this.#native.greet(this.#connection)
  }

  /** Lets the threads sign for this connection with the keys behind a gate. */
  prove(gate: number): void {
    this.#native.prove(this.#connection, gate)
  }

  /** Stops reading, signatures included, until {@link resume}. */
  pause(): void {
    this.#native.pause(this.#connection)
  }

  resume(): void {
    this.#native.resume(this.#connection)
  }

  /** Sends what was sent, then closes; a peer that does not read is cut off after 1 s. */
  close(): void {
    this.#native.close(this.#connection)
    setTimeout(() => this.destroy(), CLOSE_TIMEOUT_MS).unref()
  }

  /** Closes at once. */
  destroy(): void {
    this.#native.destroy(this.#connection)
  }
}
