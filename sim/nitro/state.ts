/**
 * What is known of each simulated enclave: `enclaves/<id>/state.json`, written by nitro-cli when it
 * reserves the enclave's resources and by the VMM from then on.
 */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { z } from "zod"
import { systemErrorCode } from "../../shared/errors.js"
import { readIfThere, readJson, writeJson } from "../files.js"
import { identifyProcess, isRunning } from "../lifecycle.js"
import type { SimPaths } from "../paths.js"
import { NitroCliError } from "./errors.js"

const identitySchema = z.strictObject({ pid: z.int(), startTicks: z.number() })

const enclaveSchema = z.strictObject({
  enclaveId: z.string(),
  enclaveName: z.string(),
  cid: z.int(),
  cpuIds: z.array(z.int()),
  memoryMib: z.int(),
  debug: z.boolean(),
  /** Absolute path of the image. */
  image: z.string(),
  /** Without PCR8, since the simulator's images are not signed. */
  measurements: z.strictObject({ PCR0: z.string(), PCR1: z.string(), PCR2: z.string() }),
  state: z.enum(["STARTING", "RUNNING", "TERMINATED"]),
  /** nitro-cli while the enclave starts, then its VMM. */
  process: identitySchema,
})

export type Enclave = z.infer<typeof enclaveSchema>

const LOCK_TIMEOUT_MS = 10_000

/** Files of one enclave. */
export function enclaveFiles(paths: SimPaths, enclaveId: string) {
  const dir = join(paths.enclavesDir, enclaveId)
  return {
    dir,
    state: join(dir, "state.json"),
    console: join(dir, "console.log"),
    vmmLog: join(dir, "vmm.log"),
  }
}

export function readEnclave(paths: SimPaths, enclaveId: string): Enclave | undefined {
  return readJson(enclaveFiles(paths, enclaveId).state, enclaveSchema)
}

export function writeEnclave(paths: SimPaths, enclave: Enclave): void {
  writeJson(enclaveFiles(paths, enclave.enclaveId).state, enclave)
}

/** Enclaves whose process lives, whatever their files say. */
export function liveEnclaves(paths: SimPaths): Enclave[] {
  return folders(paths.enclavesDir)
    .map((enclaveId) => readEnclave(paths, enclaveId))
    .filter((one) => one !== undefined)
    .filter((one) => one.state !== "TERMINATED" && isRunning(one.process))
}

function folders(dir: string): string[] {
  try {
    const entries = readdirSync(dir, { withFileTypes: true })
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return []
    throw error
  }
}

/**
 * Runs `body` while no other nitro-cli chooses resources. A lock whose owner is gone is broken.
 *
 * @throws NitroCliError `E11` after 10 s.
 */
export async function withResourceLock<T>(paths: SimPaths, body: () => T): Promise<T> {
  mkdirSync(paths.enclavesDir, { recursive: true })
  const lock = join(paths.enclavesDir, "lock")
  const deadline = Date.now() + LOCK_TIMEOUT_MS
  while (!takeLock(lock)) {
    if (Date.now() > deadline) throw new NitroCliError("E11", `${lock} is held by another process`)
    const owner = Number(readIfThere(lock)?.toString() ?? "0")
    if (owner > 0 && identifyProcess(owner) === undefined) rmSync(lock, { force: true })
    await delay(20)
  }
  try {
    return body()
  } finally {
    rmSync(lock, { force: true })
  }
}

function takeLock(lock: string): boolean {
  try {
    writeFileSync(lock, String(process.pid), { flag: "wx" })
    return true
  } catch (error) {
    if (systemErrorCode(error) === "EEXIST") return false
    throw error
  }
}
