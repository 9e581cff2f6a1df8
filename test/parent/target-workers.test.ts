/** Workers of servers, found by the module that they map, and seen to go. Real processes. */
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { copyFile, mkdtemp, rm, utimes, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { createInterface } from "node:readline"
import { afterEach, beforeEach, describe, expect, it } from "vitest"
import { currentWorkers, gone, startedBefore } from "../../parent/target/former-workers.js"

/** Any shared library will do, if no other process has this copy of it. */
const LIBRARY = "/usr/lib/x86_64-linux-gnu/engines-3/padlock.so"
/** Loads a library, forks workers, says their pids and waits until it is ended; reaps none. */
const MASTER = `
import ctypes, os, sys, time
ctypes.CDLL(sys.argv[1])
for _ in range(int(sys.argv[2])):
    pid = os.fork()
    if pid == 0:
        time.sleep(300)
    print(pid, flush=True)
print("ready", flush=True)
time.sleep(300)
`

let dir: string
let module: string
let started: number[]
let masters: ChildProcess[]
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "workers-"))
  module = join(dir, "libtlskeep-pkcs11.so")
  await copyFile(LIBRARY, module)
  started = []
  masters = []
})
afterEach(async () => {
  for (const pid of started) kill(pid)
  for (const master of masters) {
    master.kill("SIGKILL")
    if (master.exitCode === null && master.signalCode === null) await once(master, "exit")
  }
  await rm(dir, { recursive: true })
})

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // It is gone.
  }
}

/** Starts one; returns its workers' pids. */
async function master(workers: number, library = module): Promise<number[]> {
  const child = spawn("python3", ["-c", MASTER, library, String(workers)], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  masters.push(child)
  const pids: number[] = []
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === "ready") break
    pids.push(Number(line))
  }
  started.push(...pids)
  return pids
}

async function pidsOf(workers: ReturnType<typeof currentWorkers>): Promise<number[]> {
  return (await workers).map(({ pid }) => pid).sort((a, b) => a - b)
}

const never = new AbortController().signal

describe("workers", () => {
  it("are those whose parent has the module, too; of every server", async () => {
    const one = await master(2)
    const two = await master(1)
    await master(0)
    await master(2, LIBRARY)
    expect(await pidsOf(currentWorkers(module))).toEqual([...one, ...two].sort((a, b) => a - b))
  })

  it("are found when the module has been replaced or removed since", async () => {
    const pids = await master(2)
    await rm(module)
    expect(await pidsOf(currentWorkers(module))).toEqual(pids)
    await copyFile(LIBRARY, module)
    expect(await pidsOf(currentWorkers(module))).toEqual(pids)
  })

  it("are none where nobody has the module", async () => {
    expect(await currentWorkers(join(dir, "other.so"))).toEqual([])
  })

  it("have read a file if they are younger than it", async () => {
    const pids = await master(2)
    const file = join(dir, "file")
    await writeFile(file, "")
    expect(await pidsOf(startedBefore(file, module))).toEqual(pids)
    const hourAgo = new Date(Date.now() - 3_600_000)
    await utimes(file, hourAgo, hourAgo)
    expect(await startedBefore(file, module)).toEqual([])
  })
})

describe("former workers", () => {
  it("are gone when the last one is, waited for by its parent or not", async () => {
    const [first = 0, second = 0] = await master(2)
    const workers = await currentWorkers(module)
    let settled = false
    const waiting = gone(workers, never).then((value) => {
      settled = true
      return value
    })
    process.kill(first, "SIGKILL")
    await new Promise((resolve) => setTimeout(resolve, 700))
    expect(settled).toBe(false)
    process.kill(second, "SIGKILL")
    expect(await waiting).toBe(true)
  })

  it("are not taken for processes that have their pid later", async () => {
    await master(1)
    const [worker] = await currentWorkers(module)
    if (worker === undefined) throw new Error("no worker")
    expect(await gone([{ ...worker, startTime: "1" }], never)).toBe(true)
  })

  it("are waited for no longer than is asked", async () => {
    await master(1)
    const workers = await currentWorkers(module)
    const closing = new AbortController()
    const waiting = gone(workers, closing.signal)
    closing.abort()
    expect(await waiting).toBe(false)
    expect(await gone([], closing.signal)).toBe(true)
  })
})
