/** The signing service as JavaScript sees it: its channels' events, their order, and how both end. */

import { execFile } from "node:child_process"
import { createHash, generateKeyPairSync, type KeyObject, verify } from "node:crypto"
import { once } from "node:events"
import { closeSync, fstatSync, openSync, readSync, writeSync } from "node:fs"
import { promisify } from "node:util"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest"
import {
  closeDescriptor,
  isAddonError,
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
import { type Bundle, bundleChild } from "./bundle.js"

const TOKEN = 1
const GATE = 5
/** 2100-01-01. */
const NEVER = 4_102_444_800_000
const DIGEST = createHash("sha256").update("message").digest()

const HELLO = encodeFrame(encodeCbor([1, "hello", 1]))
const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
const key = SigningKey.fromPem(Buffer.from(privateKey.export({ format: "pem", type: "pkcs8" })))
const fingerprint = fingerprintOf(key.publicKey)

const signFrame = (id: number) =>
  encodeFrame(encodeCbor([id, "sign", fingerprint, "ECDSA", DIGEST, null]))

function verifies(signer: KeyObject, signature: unknown): boolean {
  const verifier = { key: signer, dsaEncoding: "ieee-p1363" as const }
  return verify("sha256", Buffer.from("message"), verifier, Buffer.from(signature as Uint8Array))
}

function codeOf(body: () => unknown): string {
  try {
    body()
    return "no error"
  } catch (error) {
    return isAddonError(error) ? error.code : String(error)
  }
}

function isOpen(fd: number): boolean {
  try {
    fstatSync(fd)
    return true
  } catch {
    return false
  }
}

/** The client's end of a connection. */
class Peer {
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
    const [id, status, signature] = decodeCbor(await this.next()) as [number, number, Uint8Array]
    expect(status).toBe(0)
    expect(verifies(publicKey, signature)).toBe(true)
    return id
  }
}

/** Writes down what a channel tells. */
class Recorder implements SigningChannelHandlers {
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
      {
        fingerprint,
        key,
        mechanisms: ["ECDSA"],
        hashes: [],
        ecdsaBytes: { min: 32, max: 64 },
      },
    ],
  })
  service = new SigningService(directory, { threads: 2, latencyBounds: [100, 1_000_000] })
})
afterEach(() => {
  service.stop()
  for (const peer of peers.splice(0)) peer.stream.destroy()
})

function connect(handlers: SigningChannelHandlers): { peer: Peer; channel: SigningChannel } {
  const [ours, theirs] = socketPair()
  const peer = new Peer(ours)
  peers.push(peer)
  return { peer, channel: service.adopt(theirs, handlers) }
}

function logIn(handlers: SigningChannelHandlers): { peer: Peer; channel: SigningChannel } {
  const connection = connect(handlers)
  connection.channel.greet()
  connection.channel.prove(GATE)
  return connection
}

describe("a channel", () => {
  it("tells requests, the end and the close in their order", async () => {
    const recorder = new Recorder()
    const { peer, channel } = connect(recorder)
    peer.stream.write(
      Buffer.concat(["one", "two", "three"].map((it) => encodeFrame(Buffer.from(it)))),
    )
    peer.stream.end()
    const expected = ["payload one", "payload two", "payload three", "ended ended"]
    expect(await recorder.count(4)).toEqual(expected)
    channel.send(Buffer.from("late"))
    channel.close()
    expect((await peer.next()).toString()).toBe("late")
    await peer.ended
    expect(await recorder.count(5)).toEqual([...expected, "closed"])
  })

  it.each([
    ["frame-too-large", Buffer.from([0, 1, 0, 1])],
    ["frame-empty", Buffer.alloc(4)],
    ["frame-truncated", Buffer.from([0, 0, 0, 9, 1])],
  ])("tells %s", async (reason, bytes) => {
    const recorder = new Recorder()
    const { peer, channel } = connect(recorder)
    peer.stream.end(bytes)
    expect(await recorder.count(1)).toEqual([`ended ${reason}`])
    channel.destroy()
    expect(await recorder.count(2)).toEqual([`ended ${reason}`, "closed"])
  })

  it("tells the close of one that hangs up, whatever is done to it", async () => {
    const recorder = new Recorder()
    const { peer, channel } = connect(recorder)
    peer.stream.destroy()
    expect(await recorder.count(2)).toEqual(["ended ended", "closed"])
    channel.send(Buffer.from("nobody"))
    channel.resume()
    channel.close()
    channel.destroy()
    expect(recorder.events).toHaveLength(2)
  })

  it("reads the next request when the handler of the last has returned", async () => {
    // The signatures behind the hello would be handed out, not made, if they were read before.
    const handed: string[] = []
    for (let round = 0; round < 20; round++) {
      const connection = connect({
        payload: (payload) => {
          handed.push(payload.toString("hex"))
          Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2)
          connection.channel.greet()
          connection.channel.prove(GATE)
        },
        ended: () => undefined,
        closed: () => undefined,
      })
      connection.peer.stream.write(Buffer.concat([HELLO, signFrame(round), signFrame(round + 1)]))
      expect(await connection.peer.nextSignature()).toBe(round)
      expect(await connection.peer.nextSignature()).toBe(round + 1)
    }
    expect(handed).toEqual(Array(20).fill(HELLO.subarray(4).toString("hex")))
    expect(directory.takeCounts(TOKEN)).toEqual(new Map([["ECDSA", 40]]))
  })

  it("hands out what the directory does not admit", async () => {
    const recorder = new Recorder()
    const { peer } = logIn(recorder)
    directory.withdraw(TOKEN)
    peer.stream.write(signFrame(1))
    const payload = signFrame(1).subarray(4).toString("latin1")
    expect(await recorder.count(1)).toEqual([`payload ${payload}`])
    expect(directory.takeCounts(TOKEN)).toEqual(new Map())
  })

  it("holds requests back from a pause to a resume", async () => {
    const recorder = new Recorder()
    const { peer, channel } = logIn(recorder)
    channel.pause()
    peer.stream.write(Buffer.concat([signFrame(1), HELLO]))
    const { peer: other } = logIn(new Recorder())
    for (let id = 0; id < 10; id++) {
      other.stream.write(signFrame(id))
      expect(await other.nextSignature()).toBe(id)
    }
    expect(directory.takeCounts(TOKEN).get("ECDSA")).toBe(10)
    expect(recorder.events).toEqual([])
    channel.resume()
    expect(await peer.nextSignature()).toBe(1)
    await recorder.count(1)
  })

  it("sends all of it before it closes", async () => {
    const recorder = new Recorder()
    const { peer, channel } = connect(recorder)
    const large = Buffer.alloc(60_000, 7)
    for (let i = 0; i < 20; i++) channel.send(large)
    channel.close()
    for (let i = 0; i < 20; i++) expect(large.equals(await peer.next())).toBe(true)
    await peer.ended
    expect(await recorder.count(1)).toEqual(["closed"])
  })

  it("cuts off a peer that does not take its last answers", async () => {
    const recorder = new Recorder()
    const [ours, theirs] = socketPair()
    const channel = service.adopt(theirs, recorder)
    for (let i = 0; i < 20; i++) channel.send(Buffer.alloc(60_000))
    channel.close()
    expect(await recorder.count(1)).toEqual(["closed"])
    closeDescriptor(ours)
  })
})

describe("the service", () => {
  it("signs while the event loop does something else", () => {
    const [ours, theirs] = socketPair()
    const channel = service.adopt(theirs, new Recorder())
    channel.greet()
    channel.prove(GATE)
    writeSync(ours, signFrame(3))
    const answer = Buffer.alloc(4 + 1 + 1 + 1 + 2 + 64)
    for (let at = 0; at < answer.length; ) {
      try {
        at += readSync(ours, answer, at, answer.length - at, null)
      } catch (error) {
        expect(error).toMatchObject({ code: "EAGAIN" })
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1)
      }
    }
    const [id, status, signature] = decodeCbor(answer.subarray(4)) as [number, number, Uint8Array]
    expect([id, status]).toEqual([3, 0])
    expect(verifies(publicKey, signature)).toBe(true)
    closeDescriptor(ours)
  })

  it("measures what it signs", async () => {
    expect(service.latency()).toEqual({ counts: [0, 0, 0], sum: 0 })
    const { peer } = logIn(new Recorder())
    for (let id = 0; id < 5; id++) {
      peer.stream.write(signFrame(id))
      expect(await peer.nextSignature()).toBe(id)
    }
    // The last one is counted behind its answer.
    const counted = () => service.latency().counts.reduce((sum, count) => sum + count)
    while (counted() < 5) await new Promise((resolve) => setImmediate(resolve))
    expect(counted()).toBe(5)
    expect(service.latency().sum).toBeGreaterThan(0)
    service.stop()
    expect(service.latency()).toEqual({ counts: [], sum: 0 })
  })

  it("refuses descriptors that it cannot serve, and closes them", async () => {
    const handlers = new Recorder()
    for (const fd of [-1, 1.5, 2 ** 31, Number.NaN]) {
      expect(codeOf(() => service.adopt(fd, handlers))).toBe("invalid-argument")
    }
    expect(codeOf(() => service.adopt(2 ** 31 - 1, handlers))).toBe("EBADF")
    const file = openSync(process.execPath, "r")
    expect(codeOf(() => service.adopt(file, handlers))).toBe("EPERM")
    expect(isOpen(file)).toBe(false)
    const { peer } = logIn(handlers)
    peer.stream.write(signFrame(1))
    expect(await peer.nextSignature()).toBe(1)
    expect(handlers.events).toEqual([])
  })

  it.each([
    { threads: 0, latencyBounds: [] },
    { threads: 65, latencyBounds: [] },
    { threads: 1, latencyBounds: [-1] },
    { threads: 1, latencyBounds: [0.5] },
  ])("refuses %o", (options) => {
    expect(codeOf(() => new SigningService(directory, options))).toBe("invalid-argument")
  })

  it("stops once, and tells each channel once", async () => {
    const recorders = Array.from({ length: 5 }, () => new Recorder())
    const connections = recorders.map(logIn)
    const closedBefore = connections[0] as (typeof connections)[number]
    closedBefore.channel.destroy()
    await recorders[0]?.count(1)
    for (const { peer } of connections.slice(1)) peer.stream.write(signFrame(1))
    service.stop()
    service.stop()
    for (const { peer, channel } of connections) {
      await peer.ended
      channel.send(Buffer.from("nobody"))
      channel.close()
    }
    await new Promise((resolve) => setImmediate(resolve))
    for (const { events } of recorders) expect(events).toEqual(["closed"])
  })

  it("may be stopped by a handler", async () => {
    const events: string[] = []
    await new Promise<void>((resolve) => {
      const { peer } = connect({
        payload: () => {
          events.push("payload")
          service.stop()
          resolve()
        },
        ended: () => events.push("ended"),
        closed: () => events.push("closed"),
      })
      peer.stream.write(Buffer.concat([HELLO, HELLO]))
      peer.stream.end()
    })
    await new Promise((resolve) => setImmediate(resolve))
    expect(events).toEqual(["payload", "closed"])
  })

  it("lets go of requests that nobody has taken when it stops", async () => {
    // Of 40 rounds of 40 requests of 64 KiB each, 100 MB would stay.
    const request = encodeFrame(Buffer.alloc(65_536, 1))
    const round = async () => {
      const own = new SigningService(directory, { threads: 2, latencyBounds: [] })
      for (let i = 0; i < 40; i++) {
        const [ours, theirs] = socketPair()
        own.adopt(theirs, new Recorder())
        writeSync(ours, request)
        closeDescriptor(ours)
      }
      // Time for the threads to read; the event loop has none.
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
      own.stop()
      await new Promise((resolve) => setImmediate(resolve))
    }
    for (let i = 0; i < 5; i++) await round()
    const before = process.memoryUsage.rss()
    for (let i = 0; i < 40; i++) await round()
    expect(process.memoryUsage.rss() - before).toBeLessThan(50_000_000)
  })

  it("takes nothing when it has been stopped, and closes what it is given", () => {
    service.stop()
    const [ours, theirs] = socketPair()
    expect(codeOf(() => service.adopt(theirs, new Recorder()))).toBe("stopped")
    expect(isOpen(theirs)).toBe(false)
    closeSync(ours)
  })
})

describe("a handler that throws", () => {
  let bundle: Bundle
  beforeAll(async () => {
    bundle = await bundleChild("signing-throws")
  })
  afterAll(() => bundle.remove())

  it.each(["payload", "ended", "closed"])("in %s is an uncaught exception", async (handler) => {
    const run = promisify(execFile)(process.execPath, [bundle.main, handler], { timeout: 60_000 })
    await expect(run).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringMatching(new RegExp(`^Uncaught: thrown in ${handler}\n$`)),
    })
  })

  it("goes on where the process does, with the next request", async () => {
    const args = [bundle.main, "payload", "go-on"]
    const { stdout, stderr } = await promisify(execFile)(process.execPath, args, {
      timeout: 60_000,
    })
    expect(stderr).toBe("Uncaught: thrown in payload\n".repeat(2))
    expect(stdout).toBe("closed\n")
  })
})

describe("threads and processes that end under load", () => {
  let bundle: Bundle
  beforeAll(async () => {
    bundle = await bundleChild("signing-ends")
  })
  afterAll(() => bundle.remove())

  it("take the service with them", async () => {
    const run = promisify(execFile)
    const { stdout, stderr } = await run(process.execPath, [bundle.main], { timeout: 60_000 })
    expect(stderr).toBe("")
    expect(JSON.parse(stdout)).toEqual({ sockets: 0, threads: 0 })
  }, 60_000)
})
