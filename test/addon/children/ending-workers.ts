/** Worker threads that end in the midst of what they do: by themselves, by exit() and by terminate(). */
import { once } from "node:events"
import { readdirSync, readlinkSync } from "node:fs"
import { parentPort, Worker, workerData } from "node:worker_threads"

/** Starts workers of `program`, which call {@link workAndEnd}, one after the other, until each has ended. */
export async function endWorkers(program: URL, count: number, pem: string | Buffer): Promise<void> {
  for (let i = 0; i < count; i++) {
    const worker = new Worker(program, { workerData: { pem, exits: i % 2 === 0 } })
    const exited = once(worker, "exit")
    await once(worker, "message")
    if (i % 2 === 1) {
      await new Promise((resolve) => setTimeout(resolve, i * 5))
      await worker.terminate()
    }
    await exited
  }
}

/** In such a worker: does `work`, then says so. */
export function workAndEnd(work: (pem: string) => void): void {
  work(workerData.pem)
  parentPort?.postMessage("busy")
  if (workerData.exits) setTimeout(() => process.exit(0), 20)
}

/** How many sockets this process has, all its threads included. */
export function openSockets(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:")
    } catch {
      return false
    }
  }).length
}
