/** Server processes that have read a former configuration, and how one learns that they are gone. */
import { readdir, readFile, realpath, stat } from "node:fs/promises"
import { setTimeout as sleep } from "node:timers/promises"

export interface ServerProcess {
  pid: number
  ppid: number
  /** Ticks since the machine's start: with the pid, unlike any other process's. */
  startTime: string
}

const FIRST_POLL_MS = 200
const MAX_POLL_MS = 2_000
/** proc(5): times are in clock ticks, of which Linux counts 100 a second. */
const TICK_MS = 10
/**
 * Start times, uptime and the files' clock are each counted in steps of up to 10 ms. A worker taken for a
 * former one keeps a key for longer; one that is overlooked would lose it too early.
 */
const CLOCK_ERROR_MS = 50

/**
 * Workers of every server that has the token module loaded: processes that map it and whose parent
 * does, too. The parent is left out: it outlives reloads. Other users of the module, such as the agent's
 * self-test, have a parent that does not map it.
 */
export async function currentWorkers(modulePath: string, proc = "/proc"): Promise<ServerProcess[]> {
  const module = await moduleFile(modulePath)
  const pids = (await readdir(proc)).filter((name) => /^[0-9]+$/.test(name)).map(Number)
  const mapping: ServerProcess[] = []
  for (const pid of pids) {
    // Processes end while one looks at them.
    const maps = await readFile(`${proc}/${pid}/maps`, "utf8").catch(() => "")
    if (!mapsModule(maps, module)) continue
    const process = await readProcess(pid, proc)
    if (process !== undefined) mapping.push(process)
  }
  const all = new Set(mapping.map(({ pid }) => pid))
  return mapping.filter(({ ppid }) => all.has(ppid))
}

/**
 * {@link currentWorkers} that were there before a file was written.
 *
 * @throws the file system's error if there is no such file
 */
export async function startedBefore(
  path: string,
  modulePath: string,
  proc = "/proc",
): Promise<ServerProcess[]> {
  // Both clocks at the same moment: looking at all processes takes its time.
  const uptime = Number.parseFloat(await readFile(`${proc}/uptime`, "utf8"))
  const bootedAt = Date.now() - uptime * 1_000
  const { mtimeMs } = await stat(path)
  const workers = await currentWorkers(modulePath, proc)
  const before = mtimeMs + CLOCK_ERROR_MS
  return workers.filter(({ startTime }) => bootedAt + Number(startTime) * TICK_MS < before)
}

/** Resolves true when all are gone, false when `signal` aborts before; never rejects. */
export async function gone(
  workers: readonly ServerProcess[],
  signal: AbortSignal,
  proc = "/proc",
): Promise<boolean> {
  let left = workers
  for (let waitMs = FIRST_POLL_MS; ; waitMs = Math.min(waitMs * 1.5, MAX_POLL_MS)) {
    const alive: ServerProcess[] = []
    for (const worker of left) if (await isAlive(worker, proc)) alive.push(worker)
    if (alive.length === 0) return true
    left = alive
    if (signal.aborted) return false
    await sleep(waitMs, undefined, { signal, ref: false }).catch(() => {})
    if (signal.aborted) return false
  }
}

interface ModuleFile {
  path: string
  /** As /proc/<pid>/maps writes it. */
  inode: string
}

async function moduleFile(path: string): Promise<ModuleFile> {
  try {
    const real = await realpath(path)
    return { path: real, inode: String((await stat(real, { bigint: true })).ino) }
  } catch {
    // Removed while in use: processes still name it so.
    return { path, inode: "" }
  }
}

/** A line: address, permissions, offset, device, inode, path. */
function mapsModule(maps: string, { path, inode }: ModuleFile): boolean {
  return maps.split("\n").some((line) => {
    const [, , , , mappedInode, ...words] = line.split(/ +/)
    const mapped = words.join(" ")
    if (mapped === path || mapped === `${path} (deleted)`) return true
    return inode !== "" && mappedInode === inode && mapped.endsWith("/libtlskeep-pkcs11.so")
  })
}

async function isAlive({ pid, startTime }: ServerProcess, proc: string): Promise<boolean> {
  return (await readProcess(pid, proc))?.startTime === startTime
}

/** Undefined where there is none, or one that has ended and is not waited for yet. */
async function readProcess(pid: number, proc: string): Promise<ServerProcess | undefined> {
  const text = await readFile(`${proc}/${pid}/stat`, "utf8").catch(() => "")
  // The second field is the program's name, in parentheses, with anything in it.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  const [state, ppid, startTime] = [fields[0], fields[1], fields[19]]
  if (startTime === undefined || state === "Z" || state === "X") return undefined
  return { pid, ppid: Number(ppid), startTime }
}
