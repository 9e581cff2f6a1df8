/** The life of simulated enclaves through nitro-cli, as processes. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { connect } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest"
import { RUNTIME_ENVIRONMENT } from "../../enclave/runtime.js"
import { pcr3OfRole, pcr4OfInstance, pcrOfImage } from "../../sim/nsm/index.js"
import { INSTANCE_ID, ROLE_ARN, type SimPaths, simPaths, vsockPath } from "../../sim/paths.js"
import { Compiled } from "../compiled.js"
import {
  DEAD_IMAGE,
  eventually,
  LIVELY_IMAGE,
  type Outcome,
  processesWith,
  run,
} from "./process.js"

const MINUTE_MS = 60_000
// Node takes a second to start where the machine is busy, and these tests start it often.
vi.setConfig({ testTimeout: MINUTE_MS, hookTimeout: MINUTE_MS })

let compiled: Compiled
let paths: SimPaths
let image: string
beforeAll(async () => {
  compiled = await Compiled.simulator()
  paths = simPaths(mkdtempSync(join(tmpdir(), "nitro-")))
  mkdirSync(paths.vsockDir)
  image = writeImage("keep.mjs", LIVELY_IMAGE)
})
afterEach(() => nitroCli("terminate-enclave", "--all"))
afterAll(async () => {
  rmSync(paths.dir, { recursive: true })
  await compiled.remove()
})

function writeImage(name: string, source: string): string {
  const file = join(paths.dir, name)
  writeFileSync(file, source)
  return file
}

function nitroCli(...args: string[]): Promise<Outcome> {
  const env = { TLSKEEP_SIM_DIR: paths.dir }
  return run(process.execPath, [compiled.path("sim/nitro-cli.js"), ...args], env)
}

function runEnclave(...extra: string[]): Promise<Outcome> {
  const flags = ["--eif-path", image, "--cpu-count", "2", "--memory", "256"]
  return nitroCli("run-enclave", ...flags, ...extra)
}

async function json(outcome: Promise<Outcome>) {
  const { code, stdout, stderr } = await outcome
  expect(code, stderr).toBe(0)
  return JSON.parse(stdout)
}

async function errorOf(outcome: Promise<Outcome>): Promise<string> {
  const { code, stdout, stderr } = await outcome
  expect(code).toBe(1)
  expect(stdout).toBe("")
  return /\[ (E\d\d) \]/.exec(stderr)?.[1] ?? stderr
}

function consoleOf(enclaveId: string): string {
  return readFileSync(join(paths.enclavesDir, enclaveId, "console.log"), "utf8")
}

/** What the enclave answers at its signing port. */
function converse(cid: number, words: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(vsockPath(paths.vsockDir, cid, 9999), () => socket.write(words))
    socket.once("error", reject)
    socket.once("data", (bytes) => {
      socket.destroy()
      resolve(bytes.toString())
    })
  })
}

describe("an enclave's life", () => {
  it("runs, is described, answers, and is ended", async () => {
    const running = await json(runEnclave("--enclave-cid", "20", "--enclave-name", "web"))
    expect(running).toMatchObject({
      EnclaveName: "web",
      EnclaveCID: 20,
      NumberOfCPUs: 2,
      MemoryMiB: 256,
    })
    expect(running.EnclaveID).toMatch(/^i-0123456789abcdef0-enc[0-9a-f]{16}$/)
    expect(running.CPUIDs).toHaveLength(2)
    const [described] = await json(nitroCli("describe-enclaves"))
    expect(described).toMatchObject({ ...running, State: "RUNNING", Flags: "NONE" })
    const { HashAlgorithm, PCR0 } = described.Measurements
    expect(HashAlgorithm).toBe("Sha384 { ... }")
    expect(PCR0).toBe(pcrOfImage(readFileSync(image)).toString("hex"))
    const { Measurements } = await json(nitroCli("describe-eif", "--eif-path", image))
    expect(Measurements).toEqual(described.Measurements)
    expect(await converse(20, "hello")).toBe("HELLO")

    const ended = await json(nitroCli("terminate-enclave", "--enclave-id", running.EnclaveID))
    expect(ended).toMatchObject({ EnclaveID: running.EnclaveID, Terminated: true })
    expect(await json(nitroCli("describe-enclaves"))).toEqual([])
    expect(processesWith(paths.dir)).toEqual([])
    await expect(converse(20, "hello")).rejects.toMatchObject({ code: "ENOENT" })
  })

  it("gives the image a minimal environment and its boot parameters", async () => {
    const { EnclaveID } = await json(runEnclave())
    const names = [...Object.keys(RUNTIME_ENVIRONMENT), "PATH", "TLSKEEP_SIM_BOOT"].sort()
    expect(consoleOf(EnclaveID)).toContain(`heartbeat b7 env ${names.join()}`)
  })

  it("measures into the PCRs, and zeroes those of the image in debug mode", async () => {
    const printer = writeImage(
      "printer.mjs",
      `console.log(process.env.TLSKEEP_SIM_BOOT)\n${LIVELY_IMAGE}`,
    )
    const zero = "00".repeat(48)
    const bootOf = async (...extra: string[]) => {
      const outcome = runEnclave("--eif-path", printer, ...extra)
      const { EnclaveID } = await json(outcome)
      return { id: EnclaveID, boot: JSON.parse(consoleOf(EnclaveID).split("\n", 1)[0] ?? "") }
    }
    const { id, boot } = await bootOf()
    expect(boot.moduleId).toBe(id)
    expect(boot.debug).toBe(false)
    expect(boot.pcrs["0"]).toBe(pcrOfImage(readFileSync(printer)).toString("hex"))
    expect(boot.pcrs["1"]).not.toBe(zero)
    expect(boot.pcrs["3"]).toBe(pcr3OfRole(ROLE_ARN).toString("hex"))
    expect(boot.pcrs["4"]).toBe(pcr4OfInstance(INSTANCE_ID).toString("hex"))
    expect(boot.pcrs["8"]).toBe(zero)
    const debug = await bootOf("--debug-mode")
    expect(debug.boot.debug).toBe(true)
    expect(debug.boot.pcrs).toEqual({ ...boot.pcrs, "0": zero, "1": zero, "2": zero })
    const flags = await json(nitroCli("describe-enclaves"))
    expect(flags.map((one: { Flags: string }) => one.Flags).sort()).toEqual(["DEBUG_MODE", "NONE"])
  })

  it("takes the lot from a file", async () => {
    const config = join(paths.dir, "run.json")
    const content = { eif_path: image, cpu_count: 1, memory_mib: 128, enclave_cid: 33 }
    writeFileSync(config, JSON.stringify(content))
    expect(await json(nitroCli("run-enclave", "--config", config))).toMatchObject({
      EnclaveName: "keep",
      EnclaveCID: 33,
      CPUIDs: [1],
    })
    const both = nitroCli("run-enclave", "--config", config, "--memory", "1")
    expect(await errorOf(both)).toBe("E02")
  })

  it("chooses CIDs, CPUs and names that are free, at once too", async () => {
    const three = await Promise.all([json(runEnclave()), json(runEnclave()), json(runEnclave())])
    expect(new Set(three.map((one) => one.EnclaveCID)).size).toBe(3)
    expect(new Set(three.flatMap((one) => one.CPUIDs)).size).toBe(6)
    expect(three.map((one) => one.EnclaveName).sort()).toEqual(["keep", "keep_1", "keep_2"])
  })

  it("is gone when its process crashes, and when its VMM is killed", async () => {
    const crashing = writeImage(
      "crash.mjs",
      `${LIVELY_IMAGE};setTimeout(() => process.abort(), 300)`,
    )
    const { ProcessID } = await json(runEnclave("--eif-path", crashing))
    await eventually(() => processesWith(paths.dir).length === 0)
    expect(await json(nitroCli("describe-enclaves"))).toEqual([])
    expect(ProcessID).toBeGreaterThan(1)

    const killed = await json(runEnclave())
    process.kill(killed.ProcessID, "SIGKILL")
    await eventually(() => processesWith(paths.dir).length === 0)
    expect(await json(nitroCli("describe-enclaves"))).toEqual([])
    expect((await json(runEnclave())).EnclaveCID).toBe(killed.EnclaveCID)
  })

  it("has its streams recorded when the folder is there", async () => {
    mkdirSync(paths.recordDir)
    const { EnclaveCID } = await json(runEnclave())
    expect(await converse(EnclaveCID, "over the wire")).toBe("OVER THE WIRE")
    const recording = join(paths.recordDir, `${EnclaveCID}_9999.bin`)
    expect(readFileSync(recording, "utf8")).toBe("over the wireOVER THE WIRE")
    rmSync(paths.recordDir, { recursive: true })
  })
})

describe("refusals", () => {
  it("name what is wrong by nitro-cli's own codes", async () => {
    expect(await errorOf(runEnclave("--eif-path", "/no/such.eif"))).toBe("E19")
    expect(await errorOf(runEnclave("--eif-path", paths.dir))).toBe("E19")
    expect(await errorOf(runEnclave("--memory", "64"))).toBe("E26")
    expect(await errorOf(runEnclave("--memory", "100000"))).toBe("E27")
    expect(await errorOf(runEnclave("--memory", "much"))).toBe("E03")
    expect(await errorOf(runEnclave("--cpu-count", "99"))).toBe("E22")
    expect(await errorOf(runEnclave("--cpu-count", "0"))).toBe("E03")
    expect(await errorOf(runEnclave("--enclave-cid", "3"))).toBe("E03")
    expect(await errorOf(nitroCli("run-enclave", "--eif-path", image))).toBe("E01")
    expect(await errorOf(nitroCli("terminate-enclave"))).toBe("E01")
    expect(await errorOf(nitroCli("terminate-enclave", "--enclave-id", "i-0-enc0"))).toBe("E40")
    expect(await errorOf(nitroCli("terminate-enclave", "--enclave-name", "no"))).toBe("E58")
    expect(await errorOf(nitroCli("terminate-enclave", "--all", "--enclave-id", "x"))).toBe("E02")
    expect(await json(nitroCli("describe-enclaves"))).toEqual([])
  })

  it("of a CID in use leave its holder alone", async () => {
    const { EnclaveID } = await json(runEnclave("--enclave-cid", "40"))
    expect(await errorOf(runEnclave("--enclave-cid", "40"))).toBe("E29")
    const described = await json(nitroCli("describe-enclaves"))
    expect(described).toMatchObject([{ EnclaveID }])
  })

  it("of an image that ends before its heartbeat leave nothing behind", async () => {
    const dead = writeImage("dead.mjs", DEAD_IMAGE)
    expect(await errorOf(runEnclave("--eif-path", dead))).toBe("E36")
    expect(await json(nitroCli("describe-enclaves"))).toEqual([])
    expect(processesWith(paths.dir)).toEqual([])
  })

  it("without a simulator say so", async () => {
    const outcome = await run(process.execPath, [
      compiled.path("sim/nitro-cli.js"),
      "describe-enclaves",
    ])
    expect(outcome).toMatchObject({ code: 1, stderr: expect.stringContaining("TLSKEEP_SIM_DIR") })
    expect((await nitroCli("--version")).stdout).toMatch(/^Nitro CLI \d/)
  })
})
