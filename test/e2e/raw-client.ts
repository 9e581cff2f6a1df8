/** A client of the signing port that sends whatever it is given. */
import { once } from "node:events"
import type { Duplex } from "node:stream"
import { parseAddress } from "../../shared/address.js"
import { type CborValue, decodeCbor, encodeCbor } from "../../shared/cbor.js"
import { encodeFrame, FrameDecoder } from "../../shared/frame.js"
import { connect } from "../../shared/transport/transport.js"

export class RawClient {
  readonly #stream: Duplex
  readonly #decoder = new FrameDecoder()
  readonly #answers: unknown[][] = []
  readonly closed: Promise<unknown>

  private constructor(stream: Duplex) {
    this.#stream = stream
    this.closed = once(stream, "close")
    stream.on("data", (chunk: Buffer) => {
      for (const payload of this.#decoder.push(chunk)) {
        this.#answers.push(decodeCbor(payload) as unknown[])
      }
      stream.emit("answer")
    })
  }

  static async connect(address: string): Promise<RawClient> {
    return new RawClient(await connect(parseAddress(address)))
  }

  write(bytes: Uint8Array): void {
    this.#stream.write(bytes)
  }

  /** Says that nothing more comes, and stays to read. */
  end(): void {
    this.#stream.end()
  }

  close(): void {
    this.#stream.destroy()
  }

  /** The next answer, in the order of arrival. */
  async answer(): Promise<unknown[]> {
    while (this.#answers.length === 0) await once(this.#stream, "answer")
    return this.#answers.shift() ?? []
  }

  request(message: CborValue): Promise<unknown[]> {
    this.write(encodeFrame(encodeCbor(message)))
    return this.answer()
  }
}
