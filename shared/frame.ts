/**
 * Framing of both services: a u32 big-endian length, then that many bytes. Incremental: bytes come
 * in any pieces, whole frames go out.
 */
import { CodedError } from "./errors.js"

export type FrameErrorCode = "frame-too-large" | "frame-truncated" | "frame-empty"

/** Largest payload of a frame in bytes, PROTOCOL.md. */
export const MAX_FRAME_BYTES = 65_536
const HEADER_BYTES = 4

/**
 * Puts a payload into a frame.
 *
 * @throws CodedError `frame-too-large` beyond {@link MAX_FRAME_BYTES}, `frame-empty` for none.
 */
export function encodeFrame(payload: Uint8Array): Buffer {
  checkLength(payload.length)
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length)
  frame.writeUInt32BE(payload.length, 0)
  frame.set(payload, HEADER_BYTES)
  return frame
}

/**
 * Takes a byte stream apart into payloads. Memory held is bounded by the bytes actually received
 * for one frame, never by the length that a frame announces.
 */
export class FrameDecoder {
  /** The start of a frame, in the first `#heldBytes`; the rest is room to grow. */
  #held = Buffer.alloc(0)
  #heldBytes = 0

  /**
   * Adds received bytes and returns the payloads that are complete by now, in order.
   *
   * @throws CodedError `frame-too-large` or `frame-empty` as soon as a frame's header says so; the
   *   stream can't be read on after that. Payloads complete before it are lost with it: their
   *   sender broke the protocol.
   */
  push(chunk: Uint8Array): Buffer[] {
    let input = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength)
    if (this.#heldBytes > 0) {
      this.#hold(input)
      if (this.#heldBytes < this.#needed()) return []
      input = this.#held.subarray(0, this.#heldBytes)
    }
    const payloads: Buffer[] = []
    let at = 0
    while (input.length - at >= HEADER_BYTES) {
      const length = input.readUInt32BE(at)
      checkLength(length)
      if (input.length - at < HEADER_BYTES + length) break
      payloads.push(input.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length))
      at += HEADER_BYTES + length
    }
    // A copy, so that a small rest does not hold a large read buffer.
    this.#held = Buffer.from(input.subarray(at))
    this.#heldBytes = this.#held.length
    return payloads
  }

  /**
   * Says that the stream has ended.
   *
   * @throws CodedError `frame-truncated` if it ended inside a frame.
   */
  end(): void {
    if (this.#heldBytes > 0) {
      throw new CodedError("frame-truncated", "the stream ended inside a frame")
    }
  }

  /** Appends to what is held: doubling, for a peer may send a frame byte by byte. */
  #hold(chunk: Buffer): void {
    const bytes = this.#heldBytes + chunk.length
    if (bytes > this.#held.length) {
      const larger = Buffer.allocUnsafe(Math.max(bytes, 2 * this.#held.length))
      this.#held.copy(larger, 0, 0, this.#heldBytes)
      this.#held = larger
    }
    chunk.copy(this.#held, this.#heldBytes)
    this.#heldBytes = bytes
  }

  /** Bytes needed before anything more can be decoded. */
  #needed(): number {
    if (this.#heldBytes < HEADER_BYTES) return HEADER_BYTES
    const length = this.#held.readUInt32BE(0)
    checkLength(length)
    return HEADER_BYTES + length
  }
}

function checkLength(length: number): void {
  if (length > MAX_FRAME_BYTES) {
    throw new CodedError(
      "frame-too-large",
      `a frame of ${length} bytes: at most ${MAX_FRAME_BYTES} are allowed`,
    )
  }
  if (length === 0) throw new CodedError("frame-empty", "an empty frame")
}
