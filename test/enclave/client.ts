/** A bare client of both services: frames as a test wants them, answers by id. */
import { createConnection, type Socket } from "node:net"
import { type CborValue, decodeCbor, encodeCbor } from "../../shared/cbor.js"
import { encodeFrame, FrameDecoder } from "../../shared/frame.js"

export type Answer = [id: number, status: number | string, result?: unknown]

export class Client {
  readonly socket: Socket
  /** Every answer so far, in the order of arrival. */
  readonly answers: Answer[] = []
  readonly closed: Promise<void>
  readonly #decoder = new FrameDecoder()
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #nextId = 1

  private constructor(socket: Socket) {
    this.socket = socket
    socket.on("data", (chunk: Buffer) => {
      for (const payload of this.#decoder.push(chunk)) this.#take(Buffer.from(payload))
    })
    socket.on("error", () => {})
    this.closed = new Promise((resolve) => {
      socket.once("close", () => resolve())
    })
  }

  static async connect(path: string): Promise<Client> {
    const socket = createConnection(path)
    await new Promise<void>((resolve, reject) => {
      socket.once("connect", resolve).once("error", reject)
    })
    return new Client(socket)
  }

  /** Sends one request under an id of its own and gives `[status, result]`. */
  async ask(op: string, ...fields: CborValue[]): Promise<[number | string, unknown]> {
    const id = this.#nextId++
    const answer = this.answerTo(id)
    this.send([id, op, ...fields])
    const [, status, result] = await answer
    return [status, result]
  }

  /** The next answer with this id. */
  answerTo(id: number): Promise<Answer> {
    return new Promise((resolve) => this.#waiting.set(id, resolve))
  }

  send(message: CborValue): void {
    this.raw(encodeFrame(encodeCbor(message)))
  }

  raw(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }

  close(): void {
    this.socket.destroy()
  }

  #take(payload: Buffer): void {
    const answer = decodeCbor(payload) as unknown as Answer
    this.answers.push(answer)
    const waiting = this.#waiting.get(answer[0])
    this.#waiting.delete(answer[0])
    waiting?.(answer)
  }
}
