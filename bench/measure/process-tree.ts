/** CPU time, memory and descriptors of processes and all their descendants, from /proc. */
import { readdirSync, readFileSync } from "node:fs"
import { childPids } from "../../sim/testbed/child-pids.js"

/** `sysconf(_SC_CLK_TCK)` on every Linux that Node.js runs on. */
const TICKS_PER_SECOND = 100

/** The processes and their descendants, each once; those that have ended are left out. */
export function treeOf(roots: readonly number[]): number[] {
  const seen = new Set<number>()
  const visit = (pid: number): void => {
    if (seen.has(pid)) return
    const children = whileItLives(() => childPids(pid))
    if (children === undefined) return
    seen.add(pid)
    children.forEach(visit)
  }
  roots.forEach(visit)
  return [...seen]
}

/**
 * User and system time of process trees so far, microseconds, exact to 10 ms. Descendants that have
 * ended count where their parent has waited for them.
 *
 * @see proc(5), /proc/pid/stat
 */
export function cpuMicroseconds(roots: readonly number[]): number {
  const ticks = treeOf(roots).reduce((sum, pid) => sum + (whileItLives(() => ticksOf(pid)) ?? 0), 0)
  return (ticks / TICKS_PER_SECOND) * 1e6
}

export interface TreeMemory {
  rssMib: number
  /** Of this process alone. */
  privateMib: number
  /** What is shared counts by its share. */
  pssMib: number
}

/** Memory of one process. @see proc(5), /proc/pid/smaps_rollup */
export function memoryMapsOf(pid: number): TreeMemory {
  const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")
  const mib = (field: string) =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text)?.[1] ?? 0) / 1_024
  return {
    rssMib: mib("Rss"),
    privateMib: mib("Private_Clean") + mib("Private_Dirty"),
    pssMib: mib("Pss"),
  }
}

/** Open descriptors of a process. */
export function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

function ticksOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, "utf8")
  // The name may hold blanks and brackets; utime, stime, cutime and cstime are the 12th to 15th behind it.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0)
}

/** What `read` returns, or undefined if the process has ended meanwhile. */
function whileItLives<Value>(read: () => Value): Value | undefined {
  try {
    return read()
  } catch {
    return undefined
  }
}
