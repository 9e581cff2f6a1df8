/** `up` and its processes: what it starts, what it tells, and that nothing of it stays. */

import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { connect as connectTls } from "node:tls"
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest"
import { stringify } from "yaml"
import { KMS_HOST, type SimPaths, simPaths, vsockPath } from "../../sim/paths.js"
import { releaseKeyPolicy, requireSimInfo, seedKmsKey } from "../../sim/seed.js"
import { Compiled } from "../compiled.js"
import { eventually, LIVELY_IMAGE, processesWith, run, startUp, type UpProcess } from "./process.js"

const MINUTE_MS = 60_000
// Node takes a second to start where the machine is busy, and these tests start it often.
vi.setConfig({ testTimeout: MINUTE_MS, hookTimeout: MINUTE_MS })

let compiled: Compiled
let paths: SimPaths
const started: UpProcess[] = []
beforeAll(async () => {
  compiled = await Compiled.simulator()
})
afterAll(() => compiled.remove())
beforeEach(() => {
  paths = simPaths(mkdtempSync(join(tmpdir(), "up-")))
})
afterEach(async () => {
  for (const { child, exited } of started.splice(0)) {
    child.kill("SIGTERM")
    await exited
  }
  rmSync(paths.dir, { recursive: true })
})

async function up(...flags: string[]): Promise<UpProcess> {
  const process = await startUp(compiled.path("sim/main.js"), paths.dir, ...flags)
  started.push(process)
  return process
}

/** Shakes hands with the KMS through the vsock-proxy, as the enclave does. */
function handshake(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const ca = readFileSync(paths.caFile)
    const tls = connectTls({ socket: connect(path), servername: KMS_HOST, ca }, () => {
      tls.end()
      resolve(String(tls.getPeerCertificate().subject.CN))
    })
    tls.once("error", reject)
  })
}

describe("up", () => {
  it("starts a process for each service, tells where, and leaves none", async () => {
    const { child, exited } = await up()
    const info = requireSimInfo(paths.dir)
    expect(Object.keys(info.pids).sort()).toEqual(["iam", "imds", "kms", "s3", "up", "vsock-proxy"])
    expect(new Set(Object.values(info.pids)).size).toBe(6)
    expect(info.pids.up).toBe(child.pid)
    const policy = releaseKeyPolicy({ pcr0: "aa".repeat(48) })
    expect(await seedKmsKey({ dir: paths.dir, policy })).toMatch(/^arn:aws:kms:/)
    const script = `. '${paths.simEnv}'; nitro-cli --version; env`
    const { stdout } = await run("/bin/sh", ["-c", script])
    expect(stdout).toContain("Nitro CLI")
    expect(stdout).toContain(`AWS_ENDPOINT_URL_KMS=${info.urls.kms}\n`)
    expect(stdout).toContain(`AWS_ENDPOINT_URL_IAM=${info.urls.iam}\n`)
    expect(stdout).toContain(`AWS_EC2_METADATA_SERVICE_ENDPOINT=${info.urls.imds}\n`)
    expect(statSync(paths.iamFile).mode & 0o777).toBe(0o600)

    child.kill("SIGTERM")
    expect(await exited).toBe(0)
    expect(processesWith(paths.dir)).toEqual([])
  })

  it("keeps what it made when it comes up again", async () => {
    const first = await up()
    const policy = releaseKeyPolicy({ pcr0: "aa".repeat(48) })
    const keyArn = await seedKmsKey({ dir: paths.dir, policy })
    const kept = [paths.caFile, paths.iamFile, join(paths.nitroPkiDir, "root.sha256")]
    const before = kept.map((file) => readFileSync(file, "utf8"))
    first.child.kill("SIGINT")
    await first.exited
    await up()
    expect(kept.map((file) => readFileSync(file, "utf8"))).toEqual(before)
    expect(readFileSync(join(paths.kmsDir, "keys", `${keyArn.slice(-36)}.json`))).toBeDefined()
  })

  it("refuses a directory that another holds", async () => {
    await up()
    const second = await run(process.execPath, [
      compiled.path("sim/main.js"),
      "up",
      "--dir",
      paths.dir,
    ])
    expect(second).toMatchObject({ code: 1, stderr: expect.stringContaining("a simulator is up") })
  })

  it("ends enclaves with the instance", async () => {
    const { child, exited } = await up()
    const image = join(paths.dir, "image.mjs")
    writeFileSync(image, LIVELY_IMAGE)
    const flags = ["run-enclave", "--eif-path", image, "--cpu-count", "1", "--memory", "256"]
    const nitroCli = join(paths.binDir, "nitro-cli")
    expect(await run(nitroCli, flags)).toMatchObject({ code: 0 })
    child.kill("SIGTERM")
    await exited
    expect(processesWith(paths.dir)).toEqual([])
  })

  it("leaves no process when it is killed itself, nor its enclaves", async () => {
    const { child, exited } = await up()
    const image = join(paths.dir, "image.mjs")
    writeFileSync(image, LIVELY_IMAGE)
    const flags = ["run-enclave", "--eif-path", image, "--cpu-count", "1", "--memory", "256"]
    expect(await run(join(paths.binDir, "nitro-cli"), flags)).toMatchObject({ code: 0 })
    child.kill("SIGKILL")
    expect(await exited).toBe("SIGKILL")
    await eventually(() => processesWith(paths.dir).length === 0)
  })

  it("says which service died and ends", async () => {
    const process_ = await up()
    process.kill(requireSimInfo(paths.dir).pids.s3 ?? -1, "SIGKILL")
    expect(await process_.exited).toBe(1)
    expect(process_.stderr()).toContain("the service s3 has ended")
    expect(processesWith(paths.dir)).toEqual([])
  })
})

describe("vsock-proxy", () => {
  const main = () => compiled.path("sim/main.js")
  const proxy = (...args: string[]) =>
    run(process.execPath, [main(), "vsock-proxy", "--dir", paths.dir, ...args])

  it("relays the enclave's TLS to the KMS, and keeps a copy when told to record", async () => {
    await up("--record")
    const path = vsockPath(paths.vsockDir, 3, 8000)
    expect(statSync(path).mode & 0o777).toBe(0o666)
    const names = await Promise.all([handshake(path), handshake(path), handshake(path)])
    expect(names).toEqual([KMS_HOST, KMS_HOST, KMS_HOST])
    // A TLS record of a handshake opens with 16 03.
    const recorded = readFileSync(join(paths.recordDir, "3_8000.bin"))
    expect(recorded.subarray(0, 2).toString("hex")).toBe("1603")
    expect(recorded.includes(KMS_HOST)).toBe(true)
  })

  it("refuses a remote that is not in the allowlist, or not simulated", async () => {
    await up()
    const refused = await proxy("8001", "example.com", "443")
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("not allowed") })
    const wrongPort = await proxy("8001", KMS_HOST, "80")
    expect(wrongPort).toMatchObject({ code: 1, stderr: expect.stringContaining("not allowed") })
    const config = join(paths.dir, "other.yaml")
    writeFileSync(config, stringify({ allowlist: [{ address: "example.com", port: 443 }] }))
    const unknown = await proxy("--config", config, "8001", "example.com", "443")
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining("not simulated") })
    writeFileSync(config, "allowlist: 5")
    const bad = await proxy("--config", config, "8001", KMS_HOST, "443")
    expect(bad).toMatchObject({ code: 1, stderr: expect.stringContaining("no allowlist") })
  })
})
