/**
 * Life and death of the simulator's processes: listening on Unix sockets that anyone may connect
 * to, knowing whether a process still is the one it was, and ending with the parent.
 */
import { chmodSync, readFileSync, rmSync } from "node:fs"
import type { Server } from "node:net"
import { MAX_SOCKET_PATH_BYTES } from "../shared/address.js"
import { systemErrorCode } from "../shared/errors.js"

/** A process that can be told from a later one with the same id. */
export interface ProcessIdentity {
  pid: number
  /** Start time in clock ticks since boot, field 22 of /proc/<pid>/stat, proc(5). */
  startTicks: number
}

/** The identity of a running process; undefined if there is none, or only its remains. */
export function identifyProcess(pid: number): ProcessIdentity | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1")
    // The command's name, in parentheses, may hold spaces.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return fields[0] === "Z" ? undefined : { pid, startTicks: Number(fields[19]) }
  } catch (error) {
    const code = systemErrorCode(error)
    if (code === "ENOENT" || code === "ESRCH") return undefined
    throw error
  }
}

export function isRunning({ pid, startTicks }: ProcessIdentity): boolean {
  return identifyProcess(pid)?.startTicks === startTicks
}

/**
 * Listens at a Unix socket in place of whatever lies there, with mode 0666: AF_VSOCK, for which
 * these sockets stand, has no permissions.
 */
export async function listenAtSocket(server: Server, path: string): Promise<void> {
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw new Error(`${path} is longer than a Unix socket's path may be: use a shorter directory`)
  }
  rmSync(path, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject)
    server.listen(path, () => {
      server.off("error", reject)
      resolve()
    })
  })
  chmodSync(path, 0o666)
}

/**
 * Calls `stop` once: on SIGTERM, on SIGINT, and when the parent that forked this process is gone.
 * Then the process exits, with 1 if `stop` failed.
 */
export function stopWithParent(stop: () => Promise<void>): void {
  let stopping = false
  const end = () => {
    if (stopping) return
    stopping = true
    stop().then(
      () => process.exit(0),
      () => process.exit(1),
    )
  }
  process.on("SIGTERM", end)
  process.on("SIGINT", end)
  process.on("disconnect", end)
}
