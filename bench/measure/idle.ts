/** How much of the machine nobody used. */
import { cpus } from "node:os"

/** Begins to watch; the function says which share of all cores' time since then was idle. */
export function watchIdle(): () => number {
  const before = times()
  return () => {
    const after = times()
    const passed = after.all - before.all
    return passed === 0 ? 0 : (after.idle - before.idle) / passed
  }
}

function times(): { idle: number; all: number } {
  const sum = { idle: 0, all: 0 }
  for (const { times } of cpus()) {
    sum.idle += times.idle
    sum.all += Object.values(times).reduce((total, value) => total + value, 0)
  }
  return sum
}
