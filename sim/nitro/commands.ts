/** The nitro-cli commands other than run-enclave, and the JSON that they all print. */
import { setTimeout as delay } from "node:timers/promises"
import { systemErrorCode } from "../../shared/errors.js"
import { isRunning } from "../lifecycle.js"
import type { SimPaths } from "../paths.js"
import { NitroCliError } from "./errors.js"
import { measureImage } from "./measure.js"
import { type Enclave, liveEnclaves } from "./state.js"

const TERMINATE_TIMEOUT_MS = 10_000
const HASH_ALGORITHM = "Sha384 { ... }"

/** What run-enclave prints. */
export function runDescription(enclave: Enclave): object {
  return {
    EnclaveName: enclave.enclaveName,
    EnclaveID: enclave.enclaveId,
    ProcessID: enclave.process.pid,
    EnclaveCID: enclave.cid,
    NumberOfCPUs: enclave.cpuIds.length,
    CPUIDs: enclave.cpuIds,
    MemoryMiB: enclave.memoryMib,
  }
}

/** What describe-enclaves prints; enclaves still booting are left out. */
export function describeEnclaves(paths: SimPaths): object[] {
  return liveEnclaves(paths)
    .filter(({ state }) => state === "RUNNING")
    .map((enclave) => ({
      ...runDescription(enclave),
      State: "RUNNING",
      Flags: enclave.debug ? "DEBUG_MODE" : "NONE",
      Measurements: { HashAlgorithm: HASH_ALGORITHM, ...enclave.measurements },
    }))
}

/** What describe-eif prints, as far as an unsigned image without metadata has something to say. */
export function describeEif(path: string): object {
  const { measurements } = measureImage(path)
  return {
    EifVersion: 4,
    Measurements: { HashAlgorithm: HASH_ALGORITHM, ...measurements },
    IsSigned: false,
    CheckCRC: true,
  }
}

/** Which enclave to end: exactly one of these. */
export type TerminateTarget = { enclaveId: string } | { enclaveName: string } | { all: true }

/**
 * Ends enclaves and waits until they are gone.
 *
 * @returns what terminate-enclave prints, one for each.
 * @throws NitroCliError `E40` for an unknown id, `E58` for an unknown name, `E11` after 10 s.
 */
export async function terminateEnclaves(
  paths: SimPaths,
  target: TerminateTarget,
): Promise<object[]> {
  const chosen = choose(liveEnclaves(paths), target)
  await Promise.all(chosen.map(terminate))
  return chosen.map(({ enclaveName, enclaveId }) => ({
    EnclaveName: enclaveName,
    EnclaveID: enclaveId,
    Terminated: true,
  }))
}

function choose(running: Enclave[], target: TerminateTarget): Enclave[] {
  if ("all" in target) return running
  const [code, wanted, found] =
    "enclaveId" in target
      ? ([
          "E40",
          target.enclaveId,
          running.filter((e) => e.enclaveId === target.enclaveId),
        ] as const)
      : ([
          "E58",
          target.enclaveName,
          running.filter((e) => e.enclaveName === target.enclaveName),
        ] as const)
  if (found.length === 0) throw new NitroCliError(code, `No enclave '${wanted}' is running.`)
  return found
}

async function terminate({ process: vmm, enclaveId }: Enclave): Promise<void> {
  try {
    process.kill(vmm.pid, "SIGTERM")
  } catch (error) {
    if (systemErrorCode(error) === "ESRCH") return
    throw new NitroCliError("E11", `The enclave ${enclaveId} cannot be ended.`, { cause: error })
  }
  const deadline = Date.now() + TERMINATE_TIMEOUT_MS
  while (isRunning(vmm)) {
    if (Date.now() > deadline) throw new NitroCliError("E11", `${enclaveId} does not end.`)
    await delay(20)
  }
}
