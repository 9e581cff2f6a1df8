/** A signing service with one published key for each test, clients of it, and a record of what it tells. */

import { createHash, generateKeyPairSync, verify } from "node:crypto"
import { once } from "node:events"
import { afterEach, beforeEach, expect } from "vitest"
import {
  KeyDirectory,
  type SigningChannel,
  type SigningChannelHandlers,
  SigningKey,
  SigningService,
  type SocketStream,
  socketPair,
  streamFromFd,
} from "../../native/addon/index.js"
import { decodeCbor, encodeCbor } from "../../shared/cbor.js"
import { encodeFrame, FrameDecoder } from "../../shared/frame.js"
import { fingerprintOf } from "../../shared/public-key.js"

export const TOKEN = 1
export const GATE = 5
/** 2100-01-01. */
const NEVER = 4_102_444_800_000
const MESSAGE = Buffer.from("message")
const DIGEST = createHash("sha256").update(MESSAGE).digest()

const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
const key = SigningKey.fromPem(Buffer.from(privateKey.export({ format: "pem", type: "pkcs8" })))
const fingerprint = fingerprintOf(key.publicKey)

export const HELLO = encodeFrame(encodeCbor([1, "hello", 1]))

/** A request for a signature that the directory admits. */
export const signFrame = (id: number) =>
  encodeFrame(encodeCbor([id, "sign", fingerprint, "ECDSA", DIGEST, null]))

/** The id of an answer, whose signature verifies. */
export function idOfSignature(payload: Uint8Array): number {
  const [id, status, signature] = decodeCbor(payload) as [number, number, Uint8Array]
  expect(status).toBe(0)
  const verifier = { key: publicKey, dsaEncoding: "ieee-p1363" as const }
  expect(verify("sha256", MESSAGE, verifier, signature)).toBe(true)
  return id
}

/** The client's end of a connection. */
export class Peer {
  readonly stream: SocketStream
  /** Resolves when the service has closed the connection. */
  readonly ended: Promise<unknown>
  readonly #decoder = new FrameDecoder()
  readonly #arrived: Buffer[] = []

  constructor(fd: number) {
    this.stream = streamFromFd(fd, { allowHalfOpen: true })
    this.ended = new Promise((resolve) => this.stream.once("end", resolve).once("close", resolve))
    this.stream.on("error", () => undefined)
    this.stream.on("data", (chunk: Buffer) => {
      this.#arrived.push(...this.#decoder.push(chunk).map((payload) => Buffer.from(payload)))
      this.stream.emit("arrived")
    })
  }

  /** The next payload. */
  async next(): Promise<Buffer> {
    for (;;) {
      const payload = this.#arrived.shift()
      if (payload !== undefined) return payload
      await once(this.stream, "arrived")
    }
  }

  /** The next answer with a signature: its id. */
  async nextSignature(): Promise<number> {
    return idOfSignature(await this.next())
  }
}

/** Writes down what a channel tells. */
export class Recorder implements SigningChannelHandlers {
  readonly events: string[] = []
  readonly #waiting = new Set<() => void>()

  payload(payload: Buffer): void {
    this.#add(`payload ${payload.toString("latin1")}`)
  }
  ended(reason: string): void {
    this.#add(`ended ${reason}`)
  }
  closed(): void {
    this.#add("closed")
  }

  /** Resolves when there have been so many events. */
  async count(count: number): Promise<string[]> {
    while (this.events.length < count) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve))
    }
    return this.events
  }

  #add(event: string): void {
    this.events.push(event)
    for (const resolve of this.#waiting) resolve()
    this.#waiting.clear()
  }
}

interface Connection {
  readonly peer: Peer
  readonly channel: SigningChannel
}

export interface TestService {
  readonly directory: KeyDirectory
  readonly service: SigningService
  connect(handlers: SigningChannelHandlers): Connection
  /** A connection that has said hello, and has proved the PIN of the token. */
  logIn(handlers: SigningChannelHandlers): Connection
}

/** Starts a service before each test of the file and stops it after. */
export function useService(): TestService {
  let directory: KeyDirectory
  let service: SigningService
  const peers: Peer[] = []

  beforeEach(() => {
    directory = new KeyDirectory()
    directory.publish({
      token: TOKEN,
      gate: GATE,
      expiresAt: NEVER,
      keys: [
        { fingerprint, key, mechanisms: ["ECDSA"], hashes: [], ecdsaBytes: { min: 32, max: 64 } },
      ],
    })
    service = new SigningService(directory, { threads: 2, latencyBounds: [100, 1_000_000] })
  })
  afterEach(() => {
    service.stop()
    for (const peer of peers.splice(0)) peer.stream.destroy()
  })

  const connect = (handlers: SigningChannelHandlers): Connection => {
    const [ours, theirs] = socketPair()
    const peer = new Peer(ours)
    peers.push(peer)
    return { peer, channel: service.adopt(theirs, handlers) }
  }
  return {
    get directory() {
      return directory
    },
    get service() {
      return service
    },
    connect,
    logIn: (handlers) => {
      const connection = connect(handlers)
      connection.channel.greet()
      connection.channel.prove(GATE)
      return connection
    },
  }
}
