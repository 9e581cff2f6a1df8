/** Reserves what an enclave needs from the instance: a CID, CPUs and memory of the pools. */
import { basename, extname } from "node:path"
import { NitroCliError } from "./errors.js"
import type { Enclave } from "./state.js"

/** CPUs of the simulated pool, as an allocator configured with `cpu_count: 8` leaves them. */
const CPU_POOL = [1, 2, 3, 4, 5, 6, 7, 8] as const
const MEMORY_POOL_MIB = 8192
/** Where automatic CIDs start, as nitro-cli's do; 0 to 3 are taken by the vsock itself. */
const FIRST_AUTOMATIC_CID = 16
const MIN_CID = 4
/** CIDs are 32 bits, and the largest means "any". */
const MAX_CID = 0xffff_fffe

/** What run-enclave is asked for. */
export interface EnclaveRequest {
  cpuCount: number
  memoryMib: number
  cid: number | undefined
  name: string | undefined
  image: string
}

/** What it gets. */
export type Reservation = Pick<Enclave, "cid" | "cpuIds" | "enclaveName">

/**
 * @param running - the enclaves that hold resources now.
 * @throws NitroCliError `E03`, `E22`, `E26`, `E27` or `E29` (CID taken).
 */
export function reserve(
  request: EnclaveRequest,
  minMemoryMib: number,
  running: readonly Enclave[],
): Reservation {
  checkMemory(request.memoryMib, minMemoryMib, running)
  return {
    enclaveName: chooseName(request, running),
    cid: chooseCid(request.cid, running),
    cpuIds: chooseCpus(request.cpuCount, running),
  }
}

function chooseCid(wanted: number | undefined, running: readonly Enclave[]): number {
  const taken = new Set(running.map(({ cid }) => cid))
  if (wanted === undefined) {
    let cid = FIRST_AUTOMATIC_CID
    while (taken.has(cid)) cid += 1
    return cid
  }
  if (!(wanted >= MIN_CID && wanted <= MAX_CID)) {
    throw new NitroCliError("E03", `The enclave CID must be ${MIN_CID} to ${MAX_CID}: ${wanted}.`)
  }
  if (taken.has(wanted)) {
    throw new NitroCliError("E29", `The enclave CID ${wanted} is in use by another enclave.`)
  }
  return wanted
}

function chooseCpus(count: number, running: readonly Enclave[]): number[] {
  if (count < 1) throw new NitroCliError("E03", `The CPU count must be 1 or more: ${count}.`)
  const taken = new Set(running.flatMap(({ cpuIds }) => cpuIds))
  const free = CPU_POOL.filter((id) => !taken.has(id))
  if (count > free.length) {
    throw new NitroCliError("E22", `\`cpu-count\` is ${count}, and ${free.length} are free.`)
  }
  return free.slice(0, count)
}

function checkMemory(memoryMib: number, minMib: number, running: readonly Enclave[]): void {
  if (memoryMib < minMib) {
    throw new NitroCliError(
      "E26",
      `\`memory\` is ${memoryMib} MB, but an image of this size needs at least ${minMib} MB.`,
    )
  }
  const freeMib = running.reduce((free, one) => free - one.memoryMib, MEMORY_POOL_MIB)
  if (memoryMib > freeMib) {
    throw new NitroCliError("E27", `\`memory\` is ${memoryMib} MB, and ${freeMib} MB are free.`)
  }
}

function chooseName({ name, image }: EnclaveRequest, running: readonly Enclave[]): string {
  const wanted = name ?? basename(image, extname(image))
  const taken = new Set(running.map(({ enclaveName }) => enclaveName))
  if (!taken.has(wanted)) return wanted
  let suffix = 1
  while (taken.has(`${wanted}_${suffix}`)) suffix += 1
  return `${wanted}_${suffix}`
}
