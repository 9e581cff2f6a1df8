/** Children of a process, from /proc. */
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"

/** Pids of the direct children of `pid`, started by any of its threads. */
export function childPids(pid: number): number[] {
  const tasks = `/proc/${pid}/task`
  return readdirSync(tasks).flatMap((task) =>
    readFileSync(join(tasks, task, "children"), "utf8")
      .split(" ")
      .filter((text) => text.trim() !== "")
      .map(Number),
  )
}
