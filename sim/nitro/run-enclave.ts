/** nitro-cli run-enclave: reserves resources, starts a VMM of its own and waits until it has booted. */
import { fork } from "node:child_process"
import { randomBytes } from "node:crypto"
import { closeSync, mkdirSync, openSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { identifyProcess } from "../lifecycle.js"
import { INSTANCE_ID, type SimPaths } from "../paths.js"
import { NitroCliError, type NitroCliErrorCode } from "./errors.js"
import { measureImage } from "./measure.js"
import { type EnclaveRequest, reserve } from "./resources.js"
import {
  type Enclave,
  enclaveFiles,
  liveEnclaves,
  readEnclave,
  withResourceLock,
  writeEnclave,
} from "./state.js"

/** What the VMM tells nitro-cli, once. */
export type VmmReport =
  | { outcome: "running" }
  | { outcome: "failed"; code: NitroCliErrorCode; message: string }

/**
 * Runs an enclave.
 *
 * @param progress - told what happens, for people.
 * @throws NitroCliError.
 */
export async function runEnclave(
  paths: SimPaths,
  request: EnclaveRequest & { debug: boolean },
  progress: (line: string) => void,
): Promise<Enclave> {
  progress("Start allocating memory...")
  const enclave = await withResourceLock(paths, () => reserveEnclave(paths, request))
  const started = `Started enclave with enclave-cid: ${enclave.cid}, memory: ${enclave.memoryMib} MiB`
  progress(`${started}, cpu-ids: [${enclave.cpuIds.join(", ")}]`)
  try {
    await startVmm(paths, enclave.enclaveId)
  } catch (error) {
    writeEnclave(paths, { ...enclave, state: "TERMINATED" })
    throw error
  }
  const running = readEnclave(paths, enclave.enclaveId)
  if (running === undefined) throw new NitroCliError("E36", "The enclave's state is gone.")
  return running
}

function reserveEnclave(paths: SimPaths, request: EnclaveRequest & { debug: boolean }): Enclave {
  const self = identifyProcess(process.pid)
  if (self === undefined) throw new NitroCliError("E11", "nitro-cli cannot find itself in /proc.")
  const { measurements, minMemoryMib } = measureImage(request.image)
  const enclave: Enclave = {
    enclaveId: `${INSTANCE_ID}-enc${randomBytes(8).toString("hex")}`,
    ...reserve(request, minMemoryMib, liveEnclaves(paths)),
    memoryMib: request.memoryMib,
    debug: request.debug,
    image: request.image,
    measurements,
    state: "STARTING",
    process: self,
  }
  mkdirSync(paths.vsockDir, { recursive: true })
  writeEnclave(paths, enclave)
  return enclave
}

/** The VMM leaves our session and keeps none of our descriptors: it lives on when we have gone. */
async function startVmm(paths: SimPaths, enclaveId: string): Promise<void> {
  const log = openSync(enclaveFiles(paths, enclaveId).vmmLog, "a")
  const vmm = fork(fileURLToPath(new URL("../vmm.js", import.meta.url)), [paths.dir, enclaveId], {
    detached: true,
    cwd: paths.dir,
    env: { PATH: process.env.PATH ?? "" },
    stdio: ["ignore", log, log, "ipc"],
  })
  closeSync(log)
  const report = await new Promise<VmmReport>((resolve) => {
    const failed = (message: string) => resolve({ outcome: "failed", code: "E36", message })
    vmm.once("message", (message) => resolve(message as VmmReport))
    vmm.once("exit", () => failed("The VMM ended without a word; see vmm.log."))
    vmm.once("error", (error) => failed(error.message))
  })
  vmm.removeAllListeners()
  if (vmm.connected) vmm.disconnect()
  vmm.unref()
  if (report.outcome === "failed") throw new NitroCliError(report.code, report.message)
}
