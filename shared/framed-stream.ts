/** A Duplex as a stream of frames, with back-pressure: what the control service and the clients of both stand on. */
import type { Duplex } from "node:stream"
import { CodedError } from "./errors.js"
import { encodeFrame, FrameDecoder, type FrameErrorCode } from "./frame.js"

export interface FrameHandlers {
  /** A whole payload arrived; it is only valid during the call. */
  payload(payload: Buffer): void
  /** The peer broke the framing. Nothing more is read; the handler may still send, then close. */
  broken(error: CodedError<FrameErrorCode>): void
  /** The stream is gone; called once, with the reason if it was an error. */
  closed(error?: Error): void
}

export class FramedStream {
  readonly #stream: Duplex
  readonly #handlers: FrameHandlers
  readonly #decoder = new FrameDecoder()
  #broken = false
  #closing = false
  #error: Error | undefined
  /** Payloads read already, for which a hold came too late. */
  readonly #arrived: Buffer[] = []
  #delivering = false
  /** Reasons not to read: the caller's, and a peer that does not take its answers. */
  readonly #holds = new Set<"caller" | "drain">()

  constructor(stream: Duplex, handlers: FrameHandlers) {
    this.#stream = stream
    this.#handlers = handlers
    stream.on("data", (chunk: Buffer) => this.#read(chunk))
    stream.on("drain", () => this.#release("drain"))
    stream.on("error", (error) => {
      this.#error ??= error
    })
    stream.on("end", () => this.#ended())
    stream.once("close", () => handlers.closed(this.#error))
    // A stream that somebody has paused does not start to flow by being listened to.
    stream.resume()
  }

  /** Sends one payload. While the peer does not read, nothing more is read from it either. */
  send(payload: Uint8Array): void {
    if (this.#closing || this.#stream.destroyed) return
    if (!this.#stream.write(encodeFrame(payload))) this.#hold("drain")
  }

  /** Stops reading until {@link resume}; no payload is handed out in between. */
  pause(): void {
    this.#hold("caller")
  }

  resume(): void {
    this.#release("caller")
  }

  /** Sends what was sent, then closes; a peer that does not read is cut off after 1 s. */
  close(): void {
    if (this.#closing) return
    this.#closing = true
    const timer = setTimeout(() => this.#stream.destroy(), 1_000)
    this.#stream.once("close", () => clearTimeout(timer))
    this.#stream.end(() => this.#stream.destroy())
  }

  /** Closes at once. */
  destroy(): void {
    this.#closing = true
    this.#stream.destroy()
  }

  #read(chunk: Buffer): void {
    if (this.#broken || this.#closing) return
    try {
      this.#arrived.push(...this.#decoder.push(chunk))
    } catch (error) {
      this.#breakOff(error)
      return
    }
    this.#deliver()
  }

  /** Hands out what has arrived as long as nothing holds: one read may bring thousands of frames. */
  #deliver(): void {
    if (this.#delivering) return
    this.#delivering = true
    try {
      while (this.#holds.size === 0 && !this.#closing) {
        const payload = this.#arrived.shift()
        if (payload === undefined) return
        this.#handlers.payload(payload)
      }
    } finally {
      this.#delivering = false
    }
  }

  #ended(): void {
    try {
      this.#decoder.end()
    } catch (error) {
      this.#breakOff(error)
    }
    this.close()
  }

  #breakOff(error: unknown): void {
    if (this.#broken || this.#closing) return
    this.#broken = true
    const reason = error instanceof CodedError ? error : undefined
    if (reason === undefined) throw error
    this.#handlers.broken(reason as CodedError<FrameErrorCode>)
  }

  #hold(reason: "caller" | "drain"): void {
    this.#holds.add(reason)
    this.#stream.pause()
  }

  #release(reason: "caller" | "drain"): void {
    this.#holds.delete(reason)
    this.#deliver()
    if (this.#holds.size === 0 && !this.#stream.destroyed) this.#stream.resume()
  }
}
