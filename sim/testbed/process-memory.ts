/** Memory of a process, from /proc. */
import { readFileSync } from "node:fs"

export interface ProcessMemory {
  /** Resident now, and at most so far, MiB. */
  rssMib: number
  peakMib: number
}

/** @see proc(5), /proc/pid/status */
export function memoryOf(pid: number): ProcessMemory {
  const status = readFileSync(`/proc/${pid}/status`, "utf8")
  const mib = (field: string) =>
    Math.round(Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(status)?.[1]) / 1024)
  return { rssMib: mib("VmRSS"), peakMib: mib("VmHWM") }
}
