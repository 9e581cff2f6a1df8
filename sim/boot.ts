/**
 * What the simulator's VMM hands to an enclave process when it boots (the environment variable
 * `TLSKEEP_SIM_BOOT`), where that process listens, and the boot heartbeat it owes.
 */
import { connect } from "node:net"
import * as z from "zod"
import { CodedError } from "../shared/errors.js"
import { PARENT_CID } from "../shared/protocol/limits.js"
import { vsockPath } from "./paths.js"

export const BOOT_VARIABLE = "TLSKEEP_SIM_BOOT"
/** The byte that the enclave's init sends and reads back. */
export const HEARTBEAT = 0xb7
const HEARTBEAT_TIMEOUT_MS = 10_000

const simBootSchema = z.strictObject({
  /** The enclave's own CID, 4 or more. */
  cid: z.int().min(4),
  /** `i-<instance>-enc<16 hex>`: what the NSM states as its module id. */
  moduleId: z.string().min(1),
  /** PCR index in decimal → 48 bytes in lower-case hex. */
  pcrs: z.record(z.string().regex(/^\d{1,2}$/), z.string().regex(/^[0-9a-f]{96}$/)),
  vsockDir: z.string().min(1),
  nitroPkiDir: z.string().min(1),
  /** The root that stands for Amazon's roots, PEM. */
  caFile: z.string().min(1),
  debug: z.boolean(),
  /** Unix socket that stands for port 9000 of the parent. */
  heartbeat: z.string().min(1),
  /** Appended to the path of every socket the enclave listens at, when the VMM records. */
  listenSuffix: z.string().optional(),
})

/** The boot parameters of one simulated enclave. */
export type SimBoot = z.infer<typeof simBootSchema>

export type SimBootErrorCode = "bad-boot-parameters" | "heartbeat-failed"

/**
 * Reads the boot parameters of this process.
 *
 * @throws CodedError `bad-boot-parameters` when the variable is missing or is not what a VMM writes.
 */
export function readSimBoot(env: NodeJS.ProcessEnv = process.env): SimBoot {
  const text = env[BOOT_VARIABLE]
  if (text === undefined) {
    throw new CodedError("bad-boot-parameters", `${BOOT_VARIABLE} is not set: start by nitro-cli`)
  }
  try {
    return simBootSchema.parse(JSON.parse(text))
  } catch (cause) {
    throw new CodedError("bad-boot-parameters", `${BOOT_VARIABLE} cannot be read`, { cause })
  }
}

/** Path at which the enclave listens for `port`; it creates the socket itself, with mode 0666. */
export function enclaveListenPath(boot: SimBoot, port: number): string {
  return vsockPath(boot.vsockDir, boot.cid, port) + (boot.listenSuffix ?? "")
}

/** Path at which the enclave reaches `port` of the parent (CID 3). */
export function parentPath(boot: SimBoot, port: number): string {
  return vsockPath(boot.vsockDir, PARENT_CID, port)
}

/**
 * Tells the VMM that the enclave runs: sends the heartbeat byte and reads it back.
 *
 * @throws CodedError `heartbeat-failed` if the VMM is not there, answers anything else, or takes
 *   over 10 s.
 */
export function sendBootHeartbeat(boot: Pick<SimBoot, "heartbeat">): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(boot.heartbeat)
    const fail = (reason: string, cause?: unknown) => {
      socket.destroy()
      reject(new CodedError("heartbeat-failed", `boot heartbeat: ${reason}`, { cause }))
    }
    socket.setTimeout(HEARTBEAT_TIMEOUT_MS, () => fail("no answer in time"))
    socket.once("connect", () => socket.write(Uint8Array.of(HEARTBEAT)))
    socket.once("error", (error) => fail("the VMM cannot be reached", error))
    socket.once("end", () => fail("the VMM closed the connection"))
    socket.once("data", (bytes) => {
      if (bytes[0] !== HEARTBEAT) return fail("the VMM answered another byte")
      socket.destroy()
      resolve()
    })
  })
}
