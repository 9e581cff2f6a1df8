/** The signing service over Unix sockets: every request, every refusal, and that it serves on. */
import { constants, createHash, type KeyObject, verify } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Duplex } from "node:stream"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { TLS_SERVER_POLICY } from "../../enclave/policy/tls-server.js"
import { serve } from "../../enclave/server/serve.js"
import { SigningConnection } from "../../enclave/server/signing-connection.js"
import type { PinTiming } from "../../enclave/token/pin.js"
import { TokenStore } from "../../enclave/token/token-store.js"
import { type CborValue, encodeCbor } from "../../shared/cbor.js"
import { encodeFrame, MAX_FRAME_BYTES } from "../../shared/frame.js"
import { HASH_BYTES, type HashName } from "../../shared/protocol/signing.js"
import { SIGNING_STATUS, type SigningStatusName } from "../../shared/protocol/signing-status.js"
import type { Listener } from "../../shared/transport/transport.js"
import { Client } from "./client.js"
import { digestInfo, makeKey, type TestKey, tokenContent } from "./keys.js"
import { recordingLog } from "./log.js"

const PIN = "correct horse"
const QUICK: PinTiming = { firstDelayMs: 1, maxDelayMs: 2, maxWaiting: 64 }
const rsa = makeKey("RSA-2048")
const p256 = makeKey("P-256")
const p384 = makeKey("P-384")
const MESSAGE = Buffer.from("message")
const hashOf = (name: HashName) => createHash(name.replace("-", "")).update(MESSAGE).digest()

let dir: string
let path: string
let store: TokenStore
let lines: string[]
let listener: Listener
const clients: Client[] = []
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "signing-"))
  path = join(dir, "s")
  await start()
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await listener.close()
  await rm(dir, { recursive: true })
})

async function start({ pinTiming = QUICK, maxConnections = 100 } = {}): Promise<void> {
  const recording = recordingLog()
  lines = recording.lines
  const { log } = recording
  store = new TokenStore({ pinTiming })
  store.put(tokenContent("rsa", rsa, { pin: PIN }))
  store.put(tokenContent("p256", p256, { pin: PIN }))
  store.put(tokenContent("p384", p384, { pin: PIN }))
  listener = await serve({
    address: { kind: "unix", path },
    transport: {},
    maxConnections,
    log,
    open: (stream, onClosed) =>
      new SigningConnection(stream, { store, policy: TLS_SERVER_POLICY, log }, onClosed),
  })
}

async function restart(options: Parameters<typeof start>[0]): Promise<void> {
  await listener.close()
  await start(options)
}

async function connect(): Promise<Client> {
  const client = await Client.connect(path)
  clients.push(client)
  return client
}

async function greeted(): Promise<Client> {
  const client = await connect()
  expect(await client.ask("hello", 1)).toEqual([0, 1])
  return client
}

async function loggedIn(...labels: string[]): Promise<Client> {
  const client = await greeted()
  for (const label of labels) expect(await client.ask("login", label, PIN)).toEqual([0, null])
  return client
}

function sign(
  client: Client,
  key: TestKey,
  mechanism: string,
  data: Uint8Array,
  parameter: CborValue = null,
) {
  return client.ask("sign", key.fingerprint, mechanism, data, parameter)
}

/** The name of the status that a request is answered with. */
async function statusOf(answer: Promise<[number | string, unknown]>): Promise<SigningStatusName> {
  const [status, result] = await answer
  const name = Object.entries(SIGNING_STATUS).find(([, number]) => number === status)?.[0]
  if (name !== "ok") expect(result).toBeUndefined()
  return name as SigningStatusName
}

/** The service still signs: on this connection, or on a new one. */
async function stillServes(client?: Client): Promise<void> {
  const serving = client ?? (await loggedIn("p256"))
  if (client !== undefined) expect(await client.ask("login", "p256", PIN)).toEqual([0, null])
  const [status, signature] = await sign(serving, p256, "ECDSA", hashOf("SHA-256"))
  expect(status).toBe(0)
  expect(verifiesEcdsa(p256.publicKey, "SHA-256", signature)).toBe(true)
}

function verifiesEcdsa(key: KeyObject, hash: HashName, signature: unknown): boolean {
  return verify(
    hash.replace("-", ""),
    MESSAGE,
    { key, dsaEncoding: "ieee-p1363" },
    Buffer.from(signature as Uint8Array),
  )
}

describe("signatures that node:crypto verifies", () => {
  const hashes = Object.keys(HASH_BYTES) as HashName[]

  it.each(hashes)("RSA_PKCS over %s", async (hash) => {
    const client = await loggedIn("rsa")
    const [status, signature] = await sign(client, rsa, "RSA_PKCS", digestInfo(hash, hashOf(hash)))
    expect(status).toBe(0)
    expect(verify(hash.replace("-", ""), MESSAGE, rsa.publicKey, signature as Buffer)).toBe(true)
  })

  it.each(
    hashes.flatMap((hash) =>
      [0, HASH_BYTES[hash], 256 - HASH_BYTES[hash] - 2].map((salt): [HashName, number] => [
        hash,
        salt,
      ]),
    ),
  )("RSA_PKCS_PSS over %s with a salt of %i", async (hash, saltLength) => {
    const client = await loggedIn("rsa")
    const [status, signature] = await sign(client, rsa, "RSA_PKCS_PSS", hashOf(hash), [
      hash,
      saltLength,
    ])
    expect(status).toBe(0)
    const key = { key: rsa.publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }
    expect(verify(hash.replace("-", ""), MESSAGE, key, signature as Buffer)).toBe(true)
  })

  it.each(
    hashes.flatMap((hash) =>
      [["p256", p256, 64] as const, ["p384", p384, 96] as const].map(
        (it) => [hash, ...it] as const,
      ),
    ),
  )("ECDSA over %s by %s", async (hash, label, key, bytes) => {
    const client = await loggedIn(label)
    const [status, signature] = await sign(client, key, "ECDSA", hashOf(hash))
    expect(status).toBe(0)
    expect(signature).toHaveLength(bytes)
    expect(verifiesEcdsa(key.publicKey, hash, signature)).toBe(true)
  })

  it("counts them by mechanism", async () => {
    const client = await loggedIn("rsa", "p256")
    await sign(client, rsa, "RSA_PKCS", digestInfo("SHA-256", hashOf("SHA-256")))
    await sign(client, rsa, "RSA_PKCS_PSS", hashOf("SHA-256"), ["SHA-256", 32])
    await sign(client, rsa, "RSA_PKCS_PSS", hashOf("SHA-256"), ["SHA-256", 32])
    await sign(client, p256, "RSA_PKCS", hashOf("SHA-256"))
    expect(Object.fromEntries(store.get("rsa")?.signatures ?? [])).toEqual({
      RSA_PKCS: 1,
      RSA_PKCS_PSS: 2,
    })
    expect(store.get("p256")?.refusals).toBe(1)
  })
})

describe("many requests at once", () => {
  it("are each answered by their id, in any order", async () => {
    const client = await loggedIn("rsa", "p256")
    const count = 600
    const answers = Array.from({ length: count }, (_, i) => client.answerTo(10_000 + i))
    for (let i = 0; i < count; i++) {
      const hash = createHash("sha256").update(String(i)).digest()
      client.send(
        i % 3 === 0
          ? [10_000 + i, "sign", rsa.fingerprint, "RSA_PKCS", digestInfo("SHA-256", hash), null]
          : [10_000 + i, "sign", p256.fingerprint, "ECDSA", hash, null],
      )
    }
    for (const [i, pending] of answers.entries()) {
      const [, status, signature] = await pending
      expect(status).toBe(0)
      const key =
        i % 3 === 0 ? rsa.publicKey : { key: p256.publicKey, dsaEncoding: "ieee-p1363" as const }
      expect(verify("sha256", Buffer.from(String(i)), key, signature as Buffer)).toBe(true)
    }
  })

  it("that wait for the thread pool do not hold up those that don't", async () => {
    const client = await loggedIn("rsa", "p256")
    const data = digestInfo("SHA-256", hashOf("SHA-256"))
    for (let i = 0; i < 50; i++)
      client.send([1000 + i, "sign", rsa.fingerprint, "RSA_PKCS", data, null])
    await client.ask("generation")
    expect(client.answers.filter(([id]) => id >= 1000).length).toBeLessThan(50)
  })

  it("beyond 1024 in flight are left unread until some are answered", async () => {
    await restart({ pinTiming: { firstDelayMs: 400, maxDelayMs: 400, maxWaiting: 5_000 } })
    for (const [waiting, readOn] of [
      [1_023, true],
      [1_024, false],
    ] as const) {
      const client = await greeted()
      const frames = [encodeFrame(encodeCbor([1, "login", "rsa", "wrong"]))]
      for (let i = 1; i < waiting; i++)
        frames.push(encodeFrame(encodeCbor([1000 + i, "login", "rsa", PIN])))
      frames.push(encodeFrame(encodeCbor([9999, "generation"])))
      const wrong = client.answerTo(1)
      const generation = client.answerTo(9999)
      client.raw(Buffer.concat(frames))
      const first = await Promise.race([wrong, generation])
      expect(first[0], `${waiting} in flight`).toBe(readOn ? 9999 : 1)
      await Promise.all([wrong, generation])
      await vi.waitFor(() => expect(client.answers).toHaveLength(waiting + 2))
      client.close()
    }
  })

  it("of which a client reads no answer are left unread", async () => {
    const certificates = [Buffer.alloc(8_000, 1), Buffer.alloc(8_000, 1)]
    for (let i = 0; i < 3; i++) store.put(tokenContent(`big${i}`, p256, { certificates }))
    const client = await greeted()
    client.socket.pause()
    const before = process.memoryUsage().rss
    client.raw(
      Buffer.concat(
        Array.from({ length: 20_000 }, (_, i) => encodeFrame(encodeCbor([i, "list", 0]))),
      ),
    )
    await new Promise((resolve) => setTimeout(resolve, 300))
    // 20,000 answers of 50 kB would be a gigabyte.
    expect(process.memoryUsage().rss - before).toBeLessThan(200 << 20)
    await stillServes()
    client.close()
  })
})

describe("hello", () => {
  it("comes first; anything else before it is refused, on a connection that stays", async () => {
    const client = await connect()
    expect(await statusOf(client.ask("generation"))).toBe("hello-required")
    expect(await statusOf(client.ask("list", 0))).toBe("hello-required")
    expect(await statusOf(client.ask("login", "rsa", PIN))).toBe("hello-required")
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("hello-required")
    expect(await statusOf(client.ask("no such op"))).toBe("hello-required")
    expect(await client.ask("hello", 1)).toEqual([0, 1])
    await stillServes(client)
  })

  it("of a later version is answered with ours", async () => {
    const client = await connect()
    expect(await client.ask("hello", 7)).toEqual([0, 1])
    await stillServes(client)
  })

  it("of no version is malformed", async () => {
    const client = await connect()
    for (const version of [0, -1, "1", null]) {
      expect(await statusOf(client.ask("hello", version))).toBe("malformed-request")
    }
    expect(await statusOf(client.ask("generation"))).toBe("hello-required")
    expect(await client.ask("hello", 1)).toEqual([0, 1])
  })

  it("must come within 5 s", () => {
    vi.useFakeTimers()
    try {
      const streams = [0, 1].map(() => {
        const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
        const { log } = recordingLog()
        new SigningConnection(stream, { store, policy: TLS_SERVER_POLICY, log }, () => {})
        return stream
      })
      const [silent, polite] = streams
      polite?.emit("data", encodeFrame(encodeCbor([1, "hello", 1])))
      vi.advanceTimersByTime(4_999)
      expect(streams.map(({ destroyed }) => destroyed)).toEqual([false, false])
      vi.advanceTimersByTime(1)
      expect([silent?.destroyed, polite?.destroyed]).toEqual([true, false])
      vi.advanceTimersByTime(3_600_000)
      expect(polite?.destroyed).toBe(false)
    } finally {
      vi.useRealTimers()
    }
  })
})

describe("login", () => {
  it("is needed for each token, on each connection", async () => {
    const first = await loggedIn("p256")
    const second = await greeted()
    expect(await statusOf(sign(first, p256, "ECDSA", hashOf("SHA-256")))).toBe("ok")
    expect(await statusOf(sign(first, p384, "ECDSA", hashOf("SHA-256")))).toBe("login-required")
    expect(await statusOf(sign(second, p256, "ECDSA", hashOf("SHA-256")))).toBe("login-required")
    expect(await statusOf(first.ask("login", "p384", PIN))).toBe("ok")
    expect(await statusOf(sign(first, p384, "ECDSA", hashOf("SHA-256")))).toBe("ok")
  })

  it("with a wrong PIN is refused and proves nothing", async () => {
    const client = await greeted()
    expect(await statusOf(client.ask("login", "p256", "wrong"))).toBe("pin-incorrect")
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("login-required")
    expect(store.get("p256")?.refusals).toBe(1)
    await stillServes(client)
  })

  it("to a token that is not there is unknown-token", async () => {
    const client = await greeted()
    for (const label of ["none", "", "P256", "toString"]) {
      expect(await statusOf(client.ask("login", label, PIN))).toBe("unknown-token")
    }
    await stillServes(client)
  })

  it("that fails 5 times ends the connection, after the fifth answer", async () => {
    const client = await greeted()
    for (let i = 0; i < 5; i++) {
      expect(await statusOf(client.ask("login", i % 2 ? "rsa" : "p256", "wrong"))).toBe(
        "pin-incorrect",
      )
    }
    await client.closed
    await stillServes()
  })

  it("is not counted as failed when the PIN is right between", async () => {
    const client = await greeted()
    for (let i = 0; i < 4; i++) await client.ask("login", "rsa", "wrong")
    expect(await statusOf(client.ask("login", "rsa", PIN))).toBe("ok")
    await stillServes(client)
  })

  it("is busy while too many others wait, and the connection stays", async () => {
    await restart({ pinTiming: { firstDelayMs: 200, maxDelayMs: 200, maxWaiting: 1 } })
    const guesser = await greeted()
    const guess = guesser.ask("login", "rsa", "wrong")
    await guesser.ask("generation")
    const client = await greeted()
    expect(await statusOf(client.ask("login", "rsa", PIN))).toBe("busy")
    expect(await statusOf(guess)).toBe("pin-incorrect")
    expect(await statusOf(client.ask("login", "rsa", PIN))).toBe("ok")
    await stillServes(client)
  })

  it("is needed again after a change of the PIN, and not after any other renewal", async () => {
    const client = await loggedIn("p256")
    store.put(tokenContent("p256", p256, { pin: PIN }))
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("ok")
    store.put(tokenContent("p256", p256, { pin: "new pin" }))
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("login-required")
    expect(await statusOf(client.ask("login", "p256", PIN))).toBe("pin-incorrect")
    expect(await statusOf(client.ask("login", "p256", "new pin"))).toBe("ok")
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("ok")
  })

  it("does not reach into a token of the same label that came later", async () => {
    const client = await loggedIn("p256")
    const token = store.get("p256")
    if (token !== undefined) store.remove(token)
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("unknown-key")
    store.put(tokenContent("p256", p256, { pin: PIN }))
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("login-required")
  })

  it("leaves no PIN in the log", async () => {
    const client = await greeted()
    await client.ask("login", "rsa", "a-wrong-secret")
    await client.ask("login", "rsa", PIN)
    expect(lines.join("")).toContain("wrong PIN")
    expect(lines.join("")).not.toContain("a-wrong-secret")
    expect(lines.join("")).not.toContain(PIN)
  })
})

describe("sign", () => {
  it("knows no key that is not there", async () => {
    const client = await loggedIn("p256")
    for (const fingerprint of [Buffer.alloc(32), makeKey().fingerprint]) {
      const answer = client.ask("sign", fingerprint, "ECDSA", hashOf("SHA-256"), null)
      expect(await statusOf(answer)).toBe("unknown-key")
    }
    await stillServes(client)
  })

  it("reaches a key that is retiring", async () => {
    const client = await loggedIn("p256")
    const renewed = makeKey("P-256")
    store.put(tokenContent("p256", renewed, { pin: PIN }))
    for (const key of [p256, renewed]) {
      const [status, signature] = await sign(client, key, "ECDSA", hashOf("SHA-256"))
      expect(status).toBe(0)
      expect(verifiesEcdsa(key.publicKey, "SHA-256", signature)).toBe(true)
    }
  })

  it("uses a key of two tokens by the login to either", async () => {
    store.put(tokenContent("twin", p256, { pin: "another pin" }))
    const client = await greeted()
    await client.ask("login", "twin", "another pin")
    expect(await statusOf(sign(client, p256, "ECDSA", hashOf("SHA-256")))).toBe("ok")
    expect(store.get("twin")?.signatures.get("ECDSA")).toBe(1)
    expect(store.get("p256")?.signatures.size).toBe(0)
  })

  const sha1 = digestInfo("SHA-1", Buffer.alloc(20))
  it.each<[SigningStatusName, TestKey, string, Uint8Array, CborValue]>([
    ["mechanism-refused", rsa, "RSA_X_509", Buffer.alloc(256), null],
    ["mechanism-refused", rsa, "ECDSA", hashOf("SHA-256"), null],
    ["mechanism-refused", p256, "RSA_PKCS", digestInfo("SHA-256", hashOf("SHA-256")), null],
    ["mechanism-param-refused", rsa, "RSA_PKCS_PSS", hashOf("SHA-256"), null],
    ["mechanism-param-refused", rsa, "RSA_PKCS_PSS", hashOf("SHA-256"), ["SHA-1", 20]],
    ["mechanism-param-refused", rsa, "RSA_PKCS_PSS", hashOf("SHA-256"), ["SHA-256", 223]],
    ["mechanism-param-refused", p256, "ECDSA", hashOf("SHA-256"), ["SHA-256", 32]],
    ["data-refused", rsa, "RSA_PKCS", sha1, null],
    ["data-refused", rsa, "RSA_PKCS", hashOf("SHA-256"), null],
    ["data-len-range", rsa, "RSA_PKCS_PSS", hashOf("SHA-384"), ["SHA-256", 32]],
    ["data-len-range", p256, "ECDSA", Buffer.alloc(31), null],
    ["data-len-range", p384, "ECDSA", Buffer.alloc(65), null],
  ])("%s", async (status, key, mechanism, data, parameter) => {
    const client = await loggedIn("rsa", "p256", "p384")
    expect(await statusOf(sign(client, key, mechanism, data, parameter))).toBe(status)
    await stillServes(client)
  })

  it("is internal where the key itself fails, without its reason, and does not count for ever", async () => {
    const client = await loggedIn("rsa", "p256")
    store.get("rsa")?.current.key.destroy()
    const data = digestInfo("SHA-256", hashOf("SHA-256"))
    for (let i = 0; i < 1_100; i++) {
      expect(await statusOf(sign(client, rsa, "RSA_PKCS", data))).toBe("internal")
    }
    await stillServes(client)
    expect(lines.some((line) => line.includes("key-destroyed"))).toBe(true)
  })

  it("answers for a key that is removed while it signs", async () => {
    const client = await loggedIn("rsa")
    const data = digestInfo("SHA-256", hashOf("SHA-256"))
    const pending = Array.from({ length: 20 }, () => sign(client, rsa, "RSA_PKCS", data))
    pending.push(client.ask("generation"))
    await pending.at(-1)
    const token = store.get("rsa")
    if (token !== undefined) store.remove(token)
    for (const [status] of await Promise.all(pending)) expect(status).toBe(0)
    expect(await statusOf(sign(client, rsa, "RSA_PKCS", data))).toBe("unknown-key")
  })
})

describe("list", () => {
  it("shows tokens as the page says", async () => {
    const client = await greeted()
    const token = store.get("p256")
    const [status, result] = await client.ask("list", 0)
    expect(status).toBe(0)
    const [generation, total, tokens] = result as [number, number, Record<string, unknown>[]]
    expect([generation, total]).toEqual([store.generation, 3])
    expect(tokens.map(({ label }) => label)).toEqual(["p256", "p384", "rsa"])
    expect(tokens[0]).toEqual({
      label: "p256",
      certificates: [Buffer.from([0x30, 0])],
      publicKey: p256.spki,
      mechanisms: ["ECDSA"],
      expires: Math.floor((token?.expiresAt ?? 0) / 1_000),
    })
    expect(tokens[2]?.mechanisms).toEqual(["RSA_PKCS", "RSA_PKCS_PSS"])
  })

  it("needs no login and tells no PIN or private key", async () => {
    const client = await greeted()
    const chunks: Buffer[] = []
    client.socket.on("data", (chunk: Buffer) => chunks.push(chunk))
    await client.ask("list", 0)
    const bytes = Buffer.concat(chunks)
    expect(bytes.includes(PIN)).toBe(false)
    const scalar = p256.privateKey.export({ format: "jwk" }).d ?? ""
    expect(bytes.includes(Buffer.from(scalar, "base64url"))).toBe(false)
  })

  it("comes in pages when it is longer than a frame, each token once", async () => {
    const certificates = [0, 1, 2, 3].map((i) => Buffer.alloc(8_192 - (i === 3 ? 1 : 0), i))
    for (let i = 0; i < 9; i++) store.put(tokenContent(`big${i}`, p256, { certificates }))
    const client = await greeted()
    const labels: string[] = []
    let pages = 0
    for (let offset = 0; ; pages++) {
      const [, result] = await client.ask("list", offset)
      const [generation, total, tokens] = result as [number, number, { label: string }[]]
      expect([generation, total]).toEqual([store.generation, 12])
      if (offset >= total) {
        expect(tokens).toEqual([])
        break
      }
      expect(tokens.length).toBeGreaterThan(0)
      labels.push(...tokens.map(({ label }) => label))
      offset = labels.length
    }
    expect(pages).toBeGreaterThan(4)
    expect(labels).toEqual(store.list().map(({ label }) => label))
    expect(await client.ask("list", 0xffffffff)).toEqual([0, [store.generation, 12, []]])
  })

  it("has a generation that changes with it", async () => {
    const client = await greeted()
    const [, before] = await client.ask("generation")
    expect(before).toBe(store.generation)
    expect(await client.ask("generation")).toEqual([0, before])
    store.put(tokenContent("more", p256))
    const [, after] = await client.ask("generation")
    expect(after).toBeGreaterThan(before as number)
    const [, page] = await client.ask("list", 0)
    expect((page as unknown[])[0]).toBe(after)
  })
})

describe("what is no request", () => {
  it("unknown operations leave the connection as it is", async () => {
    const client = await loggedIn("p256")
    for (const op of ["decrypt", "SIGN", "", "constructor"]) {
      expect(await statusOf(client.ask(op, 1))).toBe("unknown-op")
    }
    await stillServes(client)
  })

  it("malformed requests are answered by their id on a connection that stays", async () => {
    const client = await loggedIn("p256")
    expect(await statusOf(client.ask("list"))).toBe("malformed-request")
    expect(
      await statusOf(client.ask("sign", Buffer.alloc(31), "ECDSA", Buffer.alloc(32), null)),
    ).toBe("malformed-request")
    expect(await statusOf(client.ask("login", "p256", 1234))).toBe("malformed-request")
    const zero = client.answerTo(0)
    client.send("hello")
    expect(await zero).toEqual([0, 1])
    await stillServes(client)
  })

  it.each([
    ["bytes that are no CBOR", encodeFrame(Buffer.from("ffff", "hex")), 1],
    ["CBOR outside the subset", encodeFrame(Buffer.from("8201f7", "hex")), 1],
    ["CBOR and more", encodeFrame(Buffer.from("8000", "hex")), 1],
    ["an empty frame", Buffer.alloc(4), 1],
    ["a frame cut by the end", encodeFrame(Buffer.alloc(9)).subarray(0, 9), undefined],
    ["a frame that is too large", Buffer.from("00010001", "hex"), 2],
    ["a frame of 4 GiB", Buffer.from("ffffffff", "hex"), 2],
  ])("%s is answered as request 0, and the connection closed", async (_name, bytes, status) => {
    const client = await loggedIn("p256")
    const before = client.answers.length
    client.raw(bytes)
    if (status === undefined) client.socket.end()
    await client.closed
    const expected = status === undefined ? [[0, 1]] : [[0, status]]
    const rest = client.answers.slice(before)
    if (status !== undefined || rest.length > 0) expect(rest).toEqual(expected)
    await stillServes()
  })

  it("a request of the largest size is read", async () => {
    const client = await loggedIn("p256")
    const data = Buffer.alloc(MAX_FRAME_BYTES - 60)
    expect(await statusOf(sign(client, p256, "ECDSA", data))).toBe("data-len-range")
    await stillServes(client)
  })

  it("a client that vanishes within its requests harms nobody", async () => {
    for (let i = 0; i < 20; i++) {
      const client = await loggedIn("rsa")
      const data = digestInfo("SHA-256", hashOf("SHA-256"))
      for (let j = 0; j < 5; j++) client.send([j, "sign", rsa.fingerprint, "RSA_PKCS", data, null])
      client.close()
    }
    await stillServes()
  })
})

describe("connections", () => {
  it("beyond the limit are closed at once, until others end", async () => {
    await restart({ maxConnections: 2 })
    const [first] = [await greeted(), await greeted()]
    const third = await connect()
    await third.closed
    expect(third.answers).toEqual([])
    expect(lines.some((line) => line.includes("too many are open"))).toBe(true)
    first?.close()
    await vi.waitFor(async () => {
      const client = await connect()
      const answered = await Promise.race([
        client.ask("hello", 1).then(() => true),
        client.closed.then(() => false),
      ])
      expect(answered).toBe(true)
    })
  })

  it("end with the service", async () => {
    const client = await greeted()
    await listener.close()
    await client.closed
    await expect(Client.connect(path)).rejects.toThrow(/ENOENT|ECONNREFUSED/)
  })
})
