/** The native load tool, with a key file and with the module before the native tests' fake enclave. */
import { type ChildProcess, spawn } from "node:child_process"
import { createPublicKey, generateKeyPairSync } from "node:crypto"
import { once } from "node:events"
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { execa } from "execa"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { runSignLoad, SIGN_LOAD, type SignLoad } from "../../bench/measure/sign-load.js"
import { CHECKOUT } from "../../sim/testbed/checkout.js"

const FAKE_ENCLAVE = join(CHECKOUT.root, "build/native/pkcs11/test/tlskeep-fake-enclave")
const PIN = "1234"

let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), "sign-load-"))
})
afterAll(() => rm(dir, { recursive: true }))

const CURVES = { "P-256": "P-256", "P-384": "P-384" } as const

/** A fresh key: its files. */
async function makeKey(keyType: "RSA-2048" | "P-256" | "P-384", name: string) {
  const { privateKey, publicKey } =
    keyType === "RSA-2048"
      ? generateKeyPairSync("rsa", { modulusLength: 2_048 })
      : generateKeyPairSync("ec", { namedCurve: CURVES[keyType] })
  const [keyFile, publicKeyFile] = [join(dir, `${name}.pem`), join(dir, `${name}.pub`)]
  await writeFile(keyFile, privateKey.export({ type: "pkcs8", format: "pem" }))
  await writeFile(publicKeyFile, publicKey.export({ type: "spki", format: "pem" }))
  return { with: { keyFile }, keyType, publicKeyFile }
}

const SHORT: Partial<SignLoad> = { count: 300, warmupSeconds: 0 }

describe("with a key file", () => {
  it.each(["RSA-2048", "P-256", "P-384"] as const)("signs with %s and verifies", async (type) => {
    const load = await makeKey(type, type)
    const result = await runSignLoad({ ...load, ...SHORT, threads: 2 })
    expect(result.operations).toBe(300)
    expect(result.verified).toBeGreaterThanOrEqual(2)
    expect(result.errors).toBe(0)
    expect(result.p50_us).toBeGreaterThan(0)
    expect(result.p99_us).toBeGreaterThanOrEqual(result.p50_us)
  })

  it("counts over forked processes", async () => {
    const load = await makeKey("P-256", "forked")
    const result = await runSignLoad({ ...load, ...SHORT, processes: 3, threads: 2 })
    expect(result.operations).toBe(300)
    expect(result.verified).toBeGreaterThanOrEqual(6)
  })

  it("signs for a time", async () => {
    const load = await makeKey("P-256", "timed")
    const { operations, per_second } = await runSignLoad({ ...load, seconds: 0.2 })
    expect(operations).toBeGreaterThan(0)
    expect(per_second).toBeGreaterThan(0)
  })

  it("fails by a signature that does not verify", async () => {
    const load = await makeKey("P-256", "right")
    const { publicKeyFile } = await makeKey("P-256", "wrong")
    await expect(runSignLoad({ ...load, ...SHORT, publicKeyFile })).rejects.toMatchObject({
      ...{ code: "sign-load-failed", message: expect.stringContaining("a signature is wrong") },
    })
  })

  it.each([
    [["--speed", "9"], "unknown argument --speed"],
    [["--key-file", "x", "--key-type", "P-521"], "--key-type takes"],
    [["--key-file", "x", "--module", "y"], "exactly one of --module, --key-file"],
    [["--key-file", "x", "--key-type", "P-256", "--threads", "many"], "--threads takes a number"],
    [["--threads"], "--threads needs a value"],
  ])("refuses %j", async (args, reason) => {
    const { exitCode, stderr } = await execa(SIGN_LOAD, args, { reject: false })
    expect(exitCode).toBe(2)
    expect(stderr).toContain(reason)
  })
})

describe("with the module", () => {
  let enclave: ChildProcess
  let load: SignLoad
  beforeAll(async () => {
    const socket = join(dir, "enclave.sock")
    const chain = join(dir, "chain.pem")
    const tokens = ["a", "b", "c"].map((label) => `${label}:${PIN}:p256`)
    enclave = spawn(FAKE_ENCLAVE, [socket, `web:${PIN}:rsa2048:${chain}`, ...tokens], {
      stdio: ["pipe", "pipe", "inherit"],
    })
    if (enclave.stdout === null) throw new Error("no stdout")
    await once(enclave.stdout, "data")
    const [publicKeyFile, pinFile] = [join(dir, "web.pub"), join(dir, "pin")]
    const publicKey = createPublicKey(await readFile(chain))
    await writeFile(publicKeyFile, publicKey.export({ type: "spki", format: "pem" }))
    await writeFile(pinFile, `${PIN}\n`)
    const env = { TLSKEEP_ENDPOINT: `unix:${socket}`, TLSKEEP_LOG: join(dir, "pkcs11.log") }
    load = {
      with: { module: CHECKOUT.module, token: "web", pinFile, env },
      ...{ keyType: "RSA-2048", publicKeyFile, count: 50, warmupSeconds: 0 },
    }
  })
  afterAll(async () => {
    enclave.kill()
    await once(enclave, "exit")
  })

  it("signs with a token's key, and tells of the module", async () => {
    const result = await runSignLoad({ ...load, threads: 4, cpuOf: [enclave.pid ?? -1] })
    expect(result.operations).toBe(50)
    expect(result.verified).toBeGreaterThanOrEqual(4)
    expect(result.load_us).toBeGreaterThan(0)
    expect(result.module_private_kib).toBeGreaterThan(0)
  })

  it("signs with every token whose label begins so", async () => {
    const { publicKeyFile, ...rest } = load
    const all = { ...rest, keyType: "P-256" as const, with: { ...load.with, token: "*" } }
    // One of them is RSA, which an ECDSA mechanism is refused for.
    await expect(runSignLoad({ ...all, threads: 4 })).rejects.toMatchObject({
      code: "sign-load-failed",
    })
    const { keys } = await runSignLoad({ ...all, with: { ...load.with, token: "b*" } })
    expect(keys).toBe(1)
  })

  it("says what is missing", async () => {
    await expect(
      runSignLoad({ ...load, with: { ...load.with, token: "nobody" } as SignLoad["with"] }),
    ).rejects.toMatchObject({ message: expect.stringContaining("no token is called nobody") })
  })
})
