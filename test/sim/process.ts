/** Runs the compiled simulator's processes in tests and looks at what is left of them. */
import { type ChildProcess, execFile, spawn } from "node:child_process"
import { once } from "node:events"
import { readdirSync, readFileSync } from "node:fs"

/** How a command ended. */
export interface Outcome {
  code: number
  stdout: string
  stderr: string
}

/** Runs a command to its end; a failing one is an outcome too. */
export function run(file: string, args: string[], env: NodeJS.ProcessEnv = {}): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile(file, args, { env: { PATH: process.env.PATH, ...env } }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1
      resolve({ code, stdout, stderr })
    })
  })
}

/** An `up` in the foreground of its own process. */
export interface UpProcess {
  child: ChildProcess
  stderr(): string
  /** Settles with the exit code, or the signal. */
  exited: Promise<number | string>
}

/** Starts `up` and waits for its "ready", or for its end. */
export async function startUp(main: string, dir: string, ...flags: string[]): Promise<UpProcess> {
  const child = spawn(process.execPath, [main, "up", "--dir", dir, ...flags], {
    stdio: ["ignore", "pipe", "pipe"],
  })
  let errors = ""
  child.stderr.on("data", (bytes: Buffer) => {
    errors += bytes.toString()
  })
  const exited = once(child, "exit").then(([code, signal]) => (code ?? signal) as number | string)
  const ready = once(child.stdout, "data").then(([bytes]) => String(bytes))
  const outcome = await Promise.race([ready, exited])
  if (outcome !== "ready\n" && typeof outcome === "string") throw new Error(`up said ${outcome}`)
  return { child, stderr: () => errors, exited }
}

/** Ids of the processes that have `text` in their command line. */
export function processesWith(text: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((pid) => commandLine(pid).includes(text))
    .map(Number)
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8")
  } catch {
    return ""
  }
}

/** Waits until `condition` holds; fails after `timeoutMs`. */
export async function eventually(condition: () => boolean, timeoutMs = 8000): Promise<void> {
  const deadline = Date.now() + timeoutMs
  while (!condition()) {
    if (Date.now() > deadline) throw new Error("it did not come to pass in time")
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

/** An image that beats its heart, answers on port 9999 in capitals, and otherwise waits. */
export const LIVELY_IMAGE = `
import { connect, createServer } from "node:net"
const boot = JSON.parse(process.env.TLSKEEP_SIM_BOOT)
const listenAt = boot.vsockDir + "/" + boot.cid + "_9999.sock" + (boot.listenSuffix ?? "")
createServer((socket) => socket.on("data", (bytes) => socket.write(bytes.toString().toUpperCase())))
  .listen(listenAt, () => {
    const heart = connect(boot.heartbeat, () => heart.write(Buffer.from([0xb7])))
    heart.on("data", (bytes) => {
      console.log("heartbeat " + bytes.toString("hex") + " env " + Object.keys(process.env).sort())
      heart.destroy()
    })
  })
`

/** An image that ends before its heartbeat. */
export const DEAD_IMAGE = `console.log("cannot go on"); process.exit(7)`
