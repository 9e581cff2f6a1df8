/** The control service over Unix sockets: who owns the enclave, what it is asked, what it logs. */
import { randomBytes } from "node:crypto"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Duplex } from "node:stream"
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest"
import { describer, measure } from "../../enclave/description.js"
import { Nsm } from "../../enclave/nsm/index.js"
import { Ownership } from "../../enclave/ownership.js"
import { TLS_SERVER_POLICY } from "../../enclave/policy/tls-server.js"
import { ControlConnection, type ControlDeps } from "../../enclave/server/control-connection.js"
import { LatencyMeter } from "../../enclave/server/latency.js"
import { serve } from "../../enclave/server/serve.js"
import { Provisioner } from "../../enclave/token/provisioner.js"
import { MAX_TOKENS, TokenStore } from "../../enclave/token/token-store.js"
import { type CborValue, encodeCbor } from "../../shared/cbor.js"
import { encodeFrame } from "../../shared/frame.js"
import {
  ControlError,
  enclaveDescriptionSchema,
  tokenDescriptionSchema,
} from "../../shared/protocol/control.js"
import { type Listener, listen } from "../../shared/transport/transport.js"
import { VERSION } from "../../shared/version.js"
import { makeRootAuthority, NitroPki, SimulatedNsm } from "../../sim/nsm/index.js"
import { Client } from "./client.js"
import { certify, KEY_ARN, makeKey, tokenContent } from "./keys.js"
import { recordingLog } from "./log.js"

const SECRET = randomBytes(32)
const MODULE_ID = "i-0123456789abcdef0-enc0123456789abcdef"
const PCRS = new Map([0, 1, 2, 4].map((index) => [index, Buffer.alloc(48, 0xa0 + index)]))
const pki = new NitroPki(await makeRootAuthority(new Date()))
const key = makeKey("P-256")
const certificate = await certify(key)

const CREDENTIALS = {
  accessKeyId: "ASIASECRETACCESSKEY0",
  secretAccessKey: "very-secret-access-key",
  sessionToken: "very-secret-session-token",
}
const PROVISION = {
  label: "www",
  pin: "very secret pin",
  certificates: [certificate],
  encryptedPrivateKey: Buffer.from("ciphertext"),
  keyId: KEY_ARN,
  region: "us-east-1",
  credentials: CREDENTIALS,
  encryptionContext: { "tlskeep:spki-sha256": key.fingerprint.toString("hex") },
}

let dir: string
let path: string
let listener: Listener
let deps: ControlDeps
let store: TokenStore
let lines: string[]
/** How often the signing service was told to drain. */
let drained: number
/** What KMS does with the next request. */
let kms: () => Promise<Uint8Array>
const clients: Client[] = []
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "control-"))
  path = join(dir, "s")
  kms = async () => key.pem
  deps = await makeDeps(PCRS)
  listener = await serve<Duplex>({
    listen: (onConnection) => listen({ kind: "unix", path }, onConnection),
    refuse: (stream) => stream.destroy(),
    maxConnections: 100,
    log: deps.log,
    open: (stream, onClosed) => new ControlConnection(stream, deps, onClosed),
  })
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await listener.close()
  await rm(dir, { recursive: true })
})

async function makeDeps(pcrs: ReadonlyMap<number, Uint8Array>): Promise<ControlDeps> {
  const recording = recordingLog()
  lines = recording.lines
  store = new TokenStore()
  const ownership = new Ownership()
  const provisioner = new Provisioner(store, async () => ({
    plaintext: Buffer.from(await kms()),
    keyId: KEY_ARN,
  }))
  const nsm = new Nsm(new SimulatedNsm({ moduleId: MODULE_ID, pcrs, pki }))
  drained = 0
  const signing = {
    connections: { open: 3, accepted: 7 },
    get draining() {
      return drained > 0
    },
    drain: () => drained++,
  }
  const describe = describer({
    measurement: await measure(nsm),
    store,
    policy: TLS_SERVER_POLICY,
    ownership,
    signing,
    latency: new LatencyMeter(() => ({ counts: [], sum: 0 })),
    version: VERSION,
  })
  return { ownership, provisioner, store, signing, describe, log: recording.log }
}

async function connect(): Promise<Client> {
  const client = await Client.connect(path)
  clients.push(client)
  return client
}

async function owner(): Promise<Client> {
  const client = await connect()
  expect(await client.ask("hello", { version: 1, secret: SECRET })).toEqual([0, { version: 1 }])
  return client
}

/** The code of a refusal with its detail; the secret fields are in neither. */
const refused = (code: string, detail: object = {}) => [code, detail]

async function stillServes(client?: Client): Promise<void> {
  const [status, result] = await (client ?? (await owner())).ask("describe")
  expect(status).toBe(0)
  expect(enclaveDescriptionSchema.safeParse(result).success).toBe(true)
}

describe("ownership", () => {
  it("belongs to the first secret after boot, on any number of connections", async () => {
    const first = await owner()
    const second = await owner()
    await stillServes(first)
    await stillServes(second)
  })

  it("is refused to every other secret, and the connection closed", async () => {
    await owner()
    for (const secret of [randomBytes(32), Buffer.alloc(32)]) {
      const client = await connect()
      expect(await client.ask("hello", { version: 1, secret })).toEqual(refused("not-owner"))
      const start = Date.now()
      await client.closed
      // By the refusal, not by the time for hello.
      expect(Date.now() - start).toBeLessThan(2_000)
    }
    await stillServes()
  })

  it("is not claimed by a hello that is malformed", async () => {
    const client = await connect()
    const short = { version: 1, secret: Buffer.alloc(31) }
    expect(await client.ask("hello", short)).toEqual(
      refused("malformed-request", { field: "secret" }),
    )
    expect(deps.ownership.phase).toBe("unclaimed")
    await owner()
    expect(deps.ownership.phase).toBe("claimed")
  })

  it("does not end with the owner's connection", async () => {
    const first = await owner()
    first.close()
    const client = await connect()
    const secret = randomBytes(32)
    expect((await client.ask("hello", { version: 1, secret }))[0]).toBe("not-owner")
    await stillServes()
  })
})

describe("hello", () => {
  it("comes before anything else, and nothing happens without it", async () => {
    const client = await connect()
    expect(await client.ask("describe")).toEqual(refused("hello-required"))
    expect(await client.ask("provision", PROVISION)).toEqual(refused("hello-required"))
    expect(await client.ask("refresh", { label: "www", credentials: CREDENTIALS })).toEqual(
      refused("hello-required"),
    )
    expect(await client.ask("remove", { label: "www" })).toEqual(refused("hello-required"))
    expect(await client.ask("no such op")).toEqual(refused("hello-required"))
    expect(store.list()).toEqual([])
    expect(await client.ask("hello", { version: 9, secret: SECRET })).toEqual([0, { version: 1 }])
    await stillServes(client)
  })

  it.each([
    ["version", { version: 0, secret: SECRET }],
    ["version", { secret: SECRET }],
    ["secret", { version: 1 }],
    ["secret", { version: 1, secret: "x".repeat(32) }],
    ["", { version: 1, secret: SECRET, more: 1 }],
  ])("with a malformed %j is refused", async (field, fields) => {
    const client = await connect()
    expect(await client.ask("hello", fields)).toEqual(refused("malformed-request", { field }))
    expect(await client.ask("describe")).toEqual(refused("hello-required"))
  })

  it("must come within 5 s", () => {
    vi.useFakeTimers()
    try {
      const [silent, owning] = [0, 1].map(() => {
        const stream = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() })
        new ControlConnection(stream, deps, () => {})
        return stream
      })
      const hello = encodeCbor([1, "hello", { version: 1, secret: SECRET }])
      owning?.emit("data", encodeFrame(hello))
      vi.advanceTimersByTime(4_000)
      // Frames that are no hello gain no time.
      silent?.emit("data", encodeFrame(encodeCbor([1, "describe"])))
      vi.advanceTimersByTime(999)
      expect([silent?.destroyed, owning?.destroyed]).toEqual([false, false])
      vi.advanceTimersByTime(1)
      expect([silent?.destroyed, owning?.destroyed]).toEqual([true, false])
      vi.advanceTimersByTime(3_600_000)
      expect(owning?.destroyed).toBe(false)
    } finally {
      vi.useRealTimers()
    }
  })
})

describe("describe", () => {
  it("says what the enclave is", async () => {
    const client = await owner()
    await client.ask("provision", PROVISION)
    const [status, result] = await client.ask("describe")
    expect(status).toBe(0)
    const description = enclaveDescriptionSchema.parse(result)
    expect(result).toEqual(description)
    expect(description).toMatchObject({
      version: VERSION,
      moduleId: MODULE_ID,
      debug: false,
      phase: "claimed",
      policy: "tls-server",
      generation: store.generation,
    })
    expect(Object.keys(description.pcrs)).toEqual(Array.from({ length: 16 }, (_, i) => String(i)))
    expect(description.pcrs["0"]).toBe("a0".repeat(48))
    expect(description.pcrs["3"]).toBe("00".repeat(48))
    expect(description.bootedAt).toBeLessThanOrEqual(description.now)
    expect(Math.abs(description.now - Date.now())).toBeLessThan(5_000)
    expect(description.tokens.map(({ label }) => label)).toEqual(["www"])
  })

  it("says how the signing service is doing, and that it drains when told to", async () => {
    const client = await owner()
    const signingService = async () => {
      const [, result] = await client.ask("describe")
      const { connections, latency, draining } = enclaveDescriptionSchema.parse(result)
      expect(latency.counts).toHaveLength(latency.bounds.length)
      return { connections, count: latency.count, draining }
    }
    const doing = { connections: { open: 3, accepted: 7 }, count: 0, draining: false }
    expect(await signingService()).toEqual(doing)
    expect(await client.ask("drain", {})).toEqual([0, null])
    expect(drained).toBe(1)
    expect(await signingService()).toEqual({ ...doing, draining: true })
  })

  it("tells a debug enclave, whose PCR 0, 1 and 2 are zero", async () => {
    expect((await makeDeps(new Map([[4, Buffer.alloc(48, 1)]]))).describe().debug).toBe(true)
    expect((await makeDeps(new Map([[1, Buffer.alloc(48, 1)]]))).describe().debug).toBe(false)
  })

  it("shows the most tokens there can be, in pages that each fit a frame", async () => {
    const client = await owner()
    for (let i = 0; i < MAX_TOKENS; i++) {
      const label = `${"ü".repeat(14)}${String(i).padStart(4, "0")}`
      store.put(tokenContent(label, key, { keyId: `${KEY_ARN}${"0".repeat(92)}` }))
    }
    const seen: string[] = []
    for (;;) {
      const [status, result] = await client.ask("describe", { offset: seen.length })
      expect(status).toBe(0)
      const { tokens } = enclaveDescriptionSchema.parse(result)
      if (tokens.length === 0) break
      seen.push(...tokens.map(({ label }) => label))
    }
    expect(seen).toEqual(store.list().map(({ label }) => label))
    expect(await client.ask("describe", { offset: -1 })).toEqual(
      refused("malformed-request", { field: "offset" }),
    )
  })
})

describe("tokens", () => {
  it("are provisioned, refreshed and removed", async () => {
    const client = await owner()
    const [status, provisioned] = await client.ask("provision", PROVISION)
    expect(status).toBe(0)
    const description = tokenDescriptionSchema.parse(provisioned)
    expect(provisioned).toEqual(description)
    expect(description).toMatchObject({
      label: "www",
      fingerprint: key.fingerprint.toString("hex"),
      keyType: "P-256",
      keyId: KEY_ARN,
    })
    const [, refreshed] = await client.ask("refresh", { label: "www", credentials: CREDENTIALS })
    expect(tokenDescriptionSchema.parse(refreshed).attestedAt).toBeGreaterThanOrEqual(
      description.attestedAt,
    )
    expect(await client.ask("remove", { label: "www" })).toEqual([0, null])
    expect(await client.ask("remove", { label: "www" })).toEqual(refused("unknown-token"))
    const again = client.ask("refresh", { label: "www", credentials: CREDENTIALS })
    expect(await again).toEqual(refused("unknown-token"))
    expect(store.list()).toEqual([])
  })

  it("give up the key before the last renewal, and never the current one", async () => {
    const client = await owner()
    await client.ask("provision", PROVISION)
    const next = makeKey()
    kms = async () => next.pem
    const renewal = { certificates: [await certify(next)], encryptionContext: null }
    const [, renewed] = await client.ask("provision", { ...PROVISION, ...renewal })
    expect(tokenDescriptionSchema.parse(renewed).retiringFingerprints).toEqual([
      key.fingerprint.toString("hex"),
    ])
    const retire = (fingerprint: Uint8Array) =>
      client.ask("retire", { label: "www", fingerprint: Buffer.from(fingerprint) })
    expect(await retire(next.fingerprint)).toEqual([0, null])
    expect(store.get("www")?.retiring).toHaveLength(1)
    expect(await retire(key.fingerprint)).toEqual([0, null])
    expect(store.get("www")?.retiring).toEqual([])
    expect(await retire(key.fingerprint)).toEqual([0, null])
    expect(store.get("www")?.current.fingerprint).toEqual(next.fingerprint)
    expect(await retire(Buffer.alloc(31))).toEqual(
      refused("malformed-request", { field: "fingerprint" }),
    )
    const unknown = { label: "other", fingerprint: Buffer.alloc(32) }
    expect(await client.ask("retire", unknown)).toEqual(refused("unknown-token"))
  })

  it.each<[string, string, string, CborValue]>([
    ["malformed-label", "label", "label", ""],
    ["malformed-label", "label", "label", "x".repeat(33)],
    ["malformed-label", "label", "label", 7],
    ["malformed-pin", "pin", "pin", "123"],
    ["malformed-pin", "pin", "pin", "x".repeat(65)],
    ["malformed-pin", "pin", "pin", null],
    ["malformed-certificate", "certificates", "certificates", []],
    ["malformed-certificate", "certificates", "certificates", [Buffer.alloc(8193)]],
    ["malformed-certificate", "certificates", "certificates", ["text"]],
    ["malformed-key-id", "keyId", "keyId", "alias/x"],
    ["malformed-key-id", "keyId", "keyId", 7],
    ["malformed-request", "encryptedPrivateKey", "encryptedPrivateKey", Buffer.alloc(0)],
    ["malformed-request", "encryptedPrivateKey", "encryptedPrivateKey", "text"],
    ["malformed-request", "region", "region", "us-east-1.evil.example"],
    ["malformed-request", "credentials", "credentials", null],
    ["malformed-request", "credentials", "credentials", { ...CREDENTIALS, more: "x" }],
    ["malformed-request", "encryptionContext", "encryptionContext", { a: 1 }],
    ["malformed-request", "", "more", 1],
  ])("are refused as %s for a malformed %j", async (code, detail, field, value) => {
    const client = await owner()
    const answer = await client.ask("provision", { ...PROVISION, [field]: value })
    expect(answer).toEqual(refused(code, { field: detail }))
    expect(store.list()).toEqual([])
    await stillServes(client)
  })

  it.each([
    [
      "certificate that cannot be read",
      { certificates: [Buffer.from("x")] },
      "malformed-certificate",
    ],
    ["key of another region", { region: "eu-west-1" }, "malformed-key-id"],
    [
      "context of another key",
      { encryptionContext: { "tlskeep:spki-sha256": "00" } },
      "encryption-context-mismatch",
    ],
  ])("are refused for a %s", async (_name, change, code) => {
    const client = await owner()
    expect(await client.ask("provision", { ...PROVISION, ...change })).toEqual(refused(code))
    await stillServes(client)
  })

  it("are refused with KMS's code and detail, and nothing of the cause", async () => {
    const client = await owner()
    kms = () =>
      Promise.reject(
        new ControlError("kms-access-denied", "secret sentence", {
          detail: { exception: "AccessDeniedException" },
          cause: new Error("secret cause"),
        }),
      )
    expect(await client.ask("provision", PROVISION)).toEqual(
      refused("kms-access-denied", { exception: "AccessDeniedException" }),
    )
    await stillServes(client)
  })

  it("are refused as internal for a bug, which only the log tells of", async () => {
    const client = await owner()
    kms = () => Promise.reject(new TypeError("a bug of ours"))
    expect(await client.ask("provision", PROVISION)).toEqual(refused("internal"))
    expect(lines.some((line) => line.includes("a bug of ours"))).toBe(true)
    await stillServes(client)
  })

  it("are provisioned one at a time each, while other requests are served", async () => {
    const client = await owner()
    let open: (pem: Uint8Array) => void = () => {}
    kms = () =>
      new Promise((resolve) => {
        open = resolve
      })
    const first = client.ask("provision", PROVISION)
    expect(await client.ask("provision", PROVISION)).toEqual(refused("busy"))
    await stillServes(client)
    open(key.pem)
    expect((await first)[0]).toBe(0)
  })
})

describe("what is no request", () => {
  it("unknown operations and malformed requests leave the connection as it is", async () => {
    const client = await owner()
    expect(await client.ask("sign", {})).toEqual(refused("unknown-op"))
    expect(await client.ask("toString")).toEqual(refused("unknown-op"))
    const zero = client.answerTo(0)
    client.send([1, "describe", {}, {}])
    expect(await zero).toEqual([0, "malformed-request", {}])
    await stillServes(client)
  })

  it.each([
    ["bytes that are no CBOR", encodeFrame(Buffer.from("ff", "hex")), "malformed-request"],
    ["an empty frame", Buffer.alloc(4), "malformed-request"],
    ["a frame that is too large", Buffer.from("00010001", "hex"), "frame-too-large"],
  ])("%s is answered as request 0, and the connection closed", async (_name, bytes, code) => {
    const client = await owner()
    client.raw(bytes)
    await client.closed
    expect(client.answers.at(-1)).toEqual([0, code, {}])
    await stillServes()
  })

  it("many at once are all answered", async () => {
    const client = await owner()
    const answers = await Promise.all(Array.from({ length: 200 }, () => client.ask("describe")))
    for (const [status] of answers) expect(status).toBe(0)
  })
})

describe("the log", () => {
  it("names tokens, keys and codes, and nothing secret, whatever happens", async () => {
    const client = await owner()
    await client.ask("provision", PROVISION)
    await client.ask("provision", { ...PROVISION, pin: "123" })
    await client.ask("provision", { ...PROVISION, credentials: { ...CREDENTIALS, more: "x" } })
    kms = async () => makeKey().pem
    await client.ask("provision", { ...PROVISION, label: "mismatch" })
    kms = async () => key.pem.subarray(0, -30)
    await client.ask("provision", { ...PROVISION, label: "cut" })
    kms = () => Promise.reject(new TypeError("a bug of ours"))
    await client.ask("refresh", { label: "www", credentials: CREDENTIALS })
    client.raw(encodeFrame(Buffer.from("ff", "hex")))
    const stranger = await connect()
    await stranger.ask("hello", { version: 1, secret: randomBytes(32) })
    const log = lines.join("")
    for (const logged of [
      "token provisioned",
      key.fingerprint.toString("hex"),
      "malformed-pin",
      "certificate-key-mismatch",
      "malformed-private-key",
      "not-owner",
      "internal",
      "a bug of ours",
    ]) {
      expect(log, logged).toContain(logged === "internal" ? "control request failed" : logged)
    }
    const pemLine = key.pem.toString().split("\n")[1] ?? ""
    for (const secret of [
      PROVISION.pin,
      ...Object.values(CREDENTIALS),
      SECRET.toString("hex"),
      SECRET.toString("base64"),
      "PRIVATE KEY",
      pemLine.slice(0, 20),
      pemLine.slice(-20),
    ]) {
      expect(log).not.toContain(secret)
    }
  })
})
