/**
 * The simulated hypervisor of one enclave: measures the image, starts it as a process with a
 * minimal environment, waits for its heartbeat, and marks the enclave gone when it ends.
 */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { closeSync, openSync, readdirSync, rmSync } from "node:fs"
import { connect } from "node:net"
import { join } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import type { Logger } from "pino"
import { RUNTIME_ENVIRONMENT, RUNTIME_FLAGS } from "../../enclave/runtime.js"
import { BOOT_VARIABLE, type SimBoot } from "../boot.js"
import { identifyProcess } from "../lifecycle.js"
import type { SimPaths } from "../paths.js"
import { NitroCliError } from "./errors.js"
import { listenForHeartbeat } from "./heartbeat.js"
import { bootPcrs, measureImage } from "./measure.js"
import { INNER_SUFFIX, isRecording, recordEnclave } from "./recording.js"
import { type Enclave, enclaveFiles, readEnclave, writeEnclave } from "./state.js"

/** As long as nitro-cli waits for a small image. */
const BOOT_TIMEOUT_MS = 10_000

/** A running enclave. */
export interface Vm {
  enclave: Enclave
  /** Settles when the enclave's process has ended and its traces are gone. */
  ended: Promise<void>
  /** Ends the enclave at once, as pulling the plug does. */
  powerOff(): void
}

/**
 * Boots the enclave that nitro-cli reserved as `enclaveId`.
 *
 * @throws NitroCliError `E19` if the image cannot be read, `E36` if it gives no heartbeat.
 */
export async function bootVm(paths: SimPaths, enclaveId: string, log: Logger): Promise<Vm> {
  const reserved = readEnclave(paths, enclaveId)
  const self = identifyProcess(process.pid)
  if (reserved === undefined || self === undefined) {
    throw new NitroCliError("E19", `File: '${enclaveId}', failing operation: 'Read state'.`)
  }
  const { measurements } = measureImage(reserved.image)
  const enclave: Enclave = { ...reserved, measurements, process: self }
  writeEnclave(paths, enclave)
  removeSockets(paths, enclave.cid)

  const heartbeatPath = join(paths.vsockDir, `heartbeat-${enclave.cid}.sock`)
  const heartbeat = await listenForHeartbeat(heartbeatPath)
  const relays = isRecording(paths) ? await recordEnclave(paths, enclave.cid) : []
  const child = startImage(paths, enclave, heartbeatPath, relays.length > 0)
  const ended = once(child, "exit").then(([code, signal]) => {
    log.info({ code, signal }, "the enclave has ended")
    for (const server of relays) server.close()
    heartbeat.close()
    removeSockets(paths, enclave.cid)
    writeEnclave(paths, { ...enclave, state: "TERMINATED" })
  })
  const powerOff = () => {
    child.kill("SIGKILL")
  }
  await firstHeartbeat(heartbeat.beaten, ended).catch(async (error: unknown) => {
    powerOff()
    await ended
    throw error
  })
  heartbeat.close()
  const running: Enclave = { ...enclave, state: "RUNNING" }
  writeEnclave(paths, running)
  return { enclave: running, ended, powerOff }
}

/** Calls `onLoss` when the instance stops, which closes a socket held open by `up`. */
export function watchPower({ powerSocket }: SimPaths, onLoss: () => void): void {
  const power = connect(powerSocket)
  let isOn = false
  power.once("connect", () => {
    isOn = true
  })
  // Without `up` there is nothing to watch: nitro-cli works alone too.
  power.on("error", () => power.destroy())
  power.once("close", () => {
    if (isOn) onLoss()
  })
  power.resume()
}

async function firstHeartbeat(beaten: Promise<void>, ended: Promise<void>): Promise<void> {
  const abort = new AbortController()
  const bootFailure = (reason: string) => {
    throw new NitroCliError("E36", `${reason} See the enclave's console.log.`)
  }
  try {
    await Promise.race([
      beaten,
      ended.then(() => bootFailure("The enclave ended before its heartbeat.")),
      delay(BOOT_TIMEOUT_MS, undefined, { signal: abort.signal }).then(() =>
        bootFailure("The enclave gave no heartbeat in time."),
      ),
    ])
  } finally {
    abort.abort()
  }
}

function startImage(
  paths: SimPaths,
  enclave: Enclave,
  heartbeat: string,
  recorded: boolean,
): ChildProcess {
  const boot: SimBoot = {
    cid: enclave.cid,
    moduleId: enclave.enclaveId,
    pcrs: bootPcrs(enclave),
    vsockDir: paths.vsockDir,
    nitroPkiDir: paths.nitroPkiDir,
    caFile: paths.caFile,
    debug: enclave.debug,
    heartbeat,
    ...(recorded ? { listenSuffix: INNER_SUFFIX } : {}),
  }
  const consoleFile = openSync(enclaveFiles(paths, enclave.enclaveId).console, "a")
  const watchdog = new URL("./watchdog.js", import.meta.url).href
  const args = [...RUNTIME_FLAGS, "--import", watchdog, enclave.image]
  const child = spawn(process.execPath, args, {
    cwd: paths.dir,
    env: {
      PATH: process.env.PATH ?? "",
      ...RUNTIME_ENVIRONMENT,
      [BOOT_VARIABLE]: JSON.stringify(boot),
    },
    stdio: ["pipe", consoleFile, consoleFile],
  })
  closeSync(consoleFile)
  return child
}

function removeSockets({ vsockDir }: SimPaths, cid: number): void {
  for (const name of readdirSync(vsockDir)) {
    if (name.startsWith(`${cid}_`) || name === `heartbeat-${cid}.sock`) {
      rmSync(join(vsockDir, name), { force: true })
    }
  }
}
