/** The whole enclave with a simulated NSM and KMS: owned, provisioned, listed, signing, stopped. */
import { createHash, randomBytes, verify, X509Certificate } from "node:crypto"
import { existsSync, readFileSync } from "node:fs"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { Nsm } from "../../enclave/nsm/index.js"
import { TLS_SERVER_POLICY } from "../../enclave/policy/tls-server.js"
import { type Edges, type RunningEnclave, runEnclave } from "../../enclave/run.js"
import { enclaveDescriptionSchema } from "../../shared/protocol/control.js"
import { SIGNING_STATUS } from "../../shared/protocol/signing-status.js"
import { encryptionContextFor } from "../../shared/public-key.js"
import { listen } from "../../shared/transport/transport.js"
import { currentRoleSession, SESSION_TTL_SECS } from "../../sim/iam/principals.js"
import { SimulatedNsm } from "../../sim/nsm/index.js"
import { INSTANCE_ID } from "../../sim/paths.js"
import { encryptUnderKey, releaseKeyPolicy, seedKmsKey } from "../../sim/seed.js"
import { rejectionCode } from "../shared/codes.js"
import { startTestSimulator, type TestSimulator } from "../sim/simulator.js"
import { Client } from "./client.js"
import { certify, makeKey } from "./keys.js"
import { relayTo } from "./kms-relay.js"
import { recordingLog } from "./log.js"

const PCR0 = Buffer.alloc(48, 0xaa)
const key = makeKey("P-256")
const certificate = await certify(key)
const PIN = "very secret pin"

let sim: TestSimulator
let keyId: string
beforeAll(async () => {
  sim = await startTestSimulator()
  keyId = await seedKmsKey({
    dir: sim.dir,
    policy: releaseKeyPolicy({ pcr0: PCR0.toString("hex") }),
  })
})
afterAll(() => sim.stop())

let dir: string
const cleanups: (() => unknown)[] = []
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "enclave-"))
})
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
  await rm(dir, { recursive: true })
})

function edges(): { edges: Edges; lines: string[] } {
  const { log, lines } = recordingLog()
  const nsm = new SimulatedNsm({
    moduleId: `${INSTANCE_ID}-enc0123456789abcdef`,
    pcrs: new Map([[0, PCR0]]),
    pki: sim.pki,
  })
  return {
    lines,
    edges: {
      nsm,
      policy: TLS_SERVER_POLICY,
      kmsRoots: [readFileSync(sim.paths.caFile, "utf8")],
      connectKmsRelay: relayTo(() => Number(new URL(sim.info.urls.kms).port)),
      signing: { kind: "unix", path: join(dir, "signing") },
      control: { kind: "unix", path: join(dir, "control") },
      transport: {},
      log,
    },
  }
}

async function connect(name: string): Promise<Client> {
  const client = await Client.connect(join(dir, name))
  cleanups.push(() => client.close())
  return client
}

/** The instance role's credentials, as the agent hands them on. */
function roleCredentials() {
  const session = currentRoleSession(sim.paths, SESSION_TTL_SECS)
  const { accessKeyId, secretAccessKey, sessionToken } = session
  return { accessKeyId, secretAccessKey, sessionToken }
}

/** Owns the enclave and gives it the token `www`; `secrets` are what must appear in no log. */
async function provisioned(): Promise<{ control: Client; secrets: string[] }> {
  const encryptionContext = encryptionContextFor(new X509Certificate(certificate))
  const blob = await encryptUnderKey({
    dir: sim.dir,
    keyArn: keyId,
    plaintext: key.pem,
    encryptionContext,
  })
  const credentials = roleCredentials()
  const control = await connect("control")
  await control.ask("hello", { version: 1, secret: randomBytes(32) })
  const [status] = await control.ask("provision", {
    label: "www",
    pin: PIN,
    certificates: [certificate],
    encryptedPrivateKey: Buffer.from(blob),
    keyId,
    region: "us-east-1",
    credentials,
    encryptionContext,
  })
  expect(status).toBe(0)
  return { control, secrets: [PIN, "PRIVATE KEY", ...Object.values(credentials)] }
}

describe("the enclave", () => {
  let running: RunningEnclave
  let lines: string[]
  beforeEach(async () => {
    // The clock of leases and the sweeper's; everything else keeps real time.
    vi.useFakeTimers({ toFake: ["Date", "setInterval", "clearInterval"], now: Date.now() })
    cleanups.push(() => vi.useRealTimers())
    const made = edges()
    lines = made.lines
    running = await runEnclave(made.edges)
    cleanups.push(() => running.stop())
  })

  it("takes a key from KMS and signs with it until it is stopped", async () => {
    const { control, secrets } = await provisioned()
    const credentials = roleCredentials()
    expect((await control.ask("refresh", { label: "www", credentials }))[0]).toBe(0)

    const signing = await connect("signing")
    expect(await signing.ask("hello", 1)).toEqual([0, 1])
    const [, page] = await signing.ask("list", 0)
    const [, , [listed]] = page as [number, number, [{ certificates: Buffer[] }]]
    expect(listed.certificates).toEqual([certificate])
    expect(await signing.ask("login", "www", PIN)).toEqual([0, null])
    const digest = createHash("sha256").update("x").digest()
    const [status, signature] = await signing.ask("sign", key.fingerprint, "ECDSA", digest, null)
    expect(status).toBe(0)
    const publicKey = { key: key.publicKey, dsaEncoding: "ieee-p1363" as const }
    expect(verify("sha256", Buffer.from("x"), publicKey, signature as Buffer)).toBe(true)

    const [, description] = await control.ask("describe")
    expect(enclaveDescriptionSchema.parse(description)).toMatchObject({
      phase: "claimed",
      policy: "tls-server",
      pcrs: { 0: PCR0.toString("hex") },
      tokens: [{ label: "www", keyId, signatures: { ECDSA: 1 } }],
    })

    await running.stop()
    await Promise.all([control.closed, signing.closed])
    for (const secret of secrets) {
      expect(lines.join("")).not.toContain(secret)
    }
  })

  it("locks every PCR, so that nothing can be added to what is attested", async () => {
    const made = edges()
    const nsm = new Nsm(made.edges.nsm)
    await nsm.extendPcr(16, Buffer.from("before"))
    made.edges.signing = { kind: "unix", path: join(dir, "signing-2") }
    made.edges.control = { kind: "unix", path: join(dir, "control-2") }
    const other = await runEnclave(made.edges)
    cleanups.push(() => other.stop())
    for (const index of [16, 31]) {
      await expect(nsm.extendPcr(index, Buffer.from("after"))).rejects.toMatchObject({
        code: "read-only-index",
      })
    }
    expect((await nsm.describe()).lockedPcrs).toHaveLength(32)
  })

  it("ends a token that nobody refreshes for 48 h", async () => {
    await provisioned()
    const signing = await connect("signing")
    await signing.ask("hello", 1)
    await signing.ask("login", "www", PIN)
    const digest = Buffer.alloc(32, 1)
    vi.setSystemTime(Date.now() + 48 * 3_600_000 - 60_000)
    vi.advanceTimersByTime(30_000)
    expect((await signing.ask("sign", key.fingerprint, "ECDSA", digest, null))[0]).toBe(0)
    vi.advanceTimersByTime(60_000)
    const [status] = await signing.ask("sign", key.fingerprint, "ECDSA", digest, null)
    expect(status).toBe(SIGNING_STATUS["unknown-key"])
    const [, page] = await signing.ask("list", 0)
    expect((page as unknown[])[1]).toBe(0)
    expect(lines.filter((line) => line.includes("token expired"))).toHaveLength(1)
  })

  it("refuses an image that the key policy does not name, and says so", async () => {
    const other = await seedKmsKey({
      dir: sim.dir,
      policy: releaseKeyPolicy({ pcr0: "bb".repeat(48) }),
    })
    const encrypted = await encryptUnderKey({ dir: sim.dir, keyArn: other, plaintext: key.pem })
    const control = await connect("control")
    await control.ask("hello", { version: 1, secret: randomBytes(32) })
    const [status] = await control.ask("provision", {
      label: "www",
      pin: PIN,
      certificates: [certificate],
      encryptedPrivateKey: Buffer.from(encrypted),
      keyId: other,
      region: "us-east-1",
      credentials: roleCredentials(),
      encryptionContext: null,
    })
    expect(status).toBe("kms-access-denied")
    expect(lines.some((line) => line.includes("kms-access-denied"))).toBe(true)
  })
})

describe("an enclave that cannot start", () => {
  it("serves nothing when its NSM does not answer", async () => {
    const made = edges()
    made.edges.nsm.close()
    expect(await rejectionCode(runEnclave(made.edges))).not.toBe("no error")
    expect(existsSync(join(dir, "signing"))).toBe(false)
    expect(existsSync(join(dir, "control"))).toBe(false)
  })

  it.each(["signing", "control"] as const)("serves nothing when %s is in use", async (name) => {
    const holder = await listen({ kind: "unix", path: join(dir, name) }, (stream) =>
      stream.destroy(),
    )
    cleanups.push(() => holder.close())
    const other = name === "signing" ? "control" : "signing"
    expect(await rejectionCode(runEnclave(edges().edges))).toBe("address-in-use")
    expect(existsSync(join(dir, other))).toBe(false)
  })
})
