/**
 * `make demo`. Without KEEP=1 it runs and stops everything; with it, a process of its own holds the
 * system up until `--stop`.
 */
import { spawn } from "node:child_process"
import { readFile, rm, writeFile } from "node:fs/promises"
import { fileURLToPath } from "node:url"
import { systemErrorCode } from "../shared/errors.js"
import { DEMO_LABEL, DEMO_PORT, runDemo } from "./demo-run.js"
import { CHECKOUT } from "./testbed/checkout.js"
import { demoVariables, shellAssignments } from "./testbed/demo-env.js"
import type { Testbed } from "./testbed/testbed.js"

const SELF = fileURLToPath(import.meta.url)
const STOP_COMMAND = `make -C '${CHECKOUT.root}' demo-stop`

// Not for a reader of the demo: the AWS SDK's notice about coming Node versions.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED ??= "true"

const [, , mode] = process.argv
if (mode === "--stop") process.exitCode = await stop()
else if (mode === "--hold") await hold()
else if (process.env.KEEP === "1") process.exitCode = await keep()
else process.exitCode = await once()

async function once(): Promise<number> {
  try {
    say(`tlskeep demo: Apache on https://localhost:${DEMO_PORT} with a key held by the enclave`)
    const { testbed } = await runDemo(say, stopWhenInterrupted)
    await testbed.down()
    say("all of it worked, everything is stopped")
    return 0
  } catch (error) {
    say(describe(error))
    return 1
  }
}

/** Apache is a daemon: it would outlive a demo that is interrupted. */
function stopWhenInterrupted(testbed: Testbed): void {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, () => {
      say("interrupted: stopping everything")
      void testbed.down().then(() => process.exit(1))
    })
  }
}

/** Starts the holder, relays what it says, and leaves it. */
async function keep(): Promise<number> {
  const holder = spawn(process.execPath, [SELF, "--hold"], {
    detached: true,
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  })
  const exitCode = await new Promise<number>((resolve) => {
    holder.once("exit", () => resolve(1))
    holder.on("message", (message: { line?: string; up?: boolean }) => {
      if (message.line !== undefined) say(message.line)
      if (message.up === true) resolve(0)
    })
  })
  if (holder.connected) holder.disconnect()
  holder.unref()
  return exitCode
}

async function hold(): Promise<void> {
  const tell = (line: string): void => {
    if (process.connected) process.send?.({ line })
  }
  try {
    const { testbed, apache, configFile } = await runDemo(tell)
    const variables = await demoVariables({
      ...{ testbed, apache, configFile, label: DEMO_LABEL },
      ...{ pid: process.pid, stopCommand: STOP_COMMAND },
    })
    const assignments = shellAssignments(variables)
    await writeFile(CHECKOUT.demoEnv, assignments)
    tell(`it stays up; written to ${CHECKOUT.demoEnv}:\n${assignments}`)
    tell(`stop it all: ${STOP_COMMAND}`)
    // Without this the holder would go on waiting for its parent, and end with nothing to do.
    const alive = setInterval(() => {}, 60_000)
    process.once("SIGTERM", async () => {
      await testbed.down()
      await rm(CHECKOUT.demoEnv, { force: true })
      clearInterval(alive)
      process.exit(0)
    })
    process.send?.({ up: true })
  } catch (error) {
    tell(describe(error))
    process.exitCode = 1
    process.disconnect?.()
  }
}

/** Ends the holder by the pid it wrote, and waits until it is gone. */
async function stop(): Promise<number> {
  const env = await readFile(CHECKOUT.demoEnv, "utf8").catch(() => "")
  const pid = Number(/TLSKEEP_DEMO_PID='([0-9]+)'/.exec(env)?.[1])
  if (!Number.isInteger(pid) || !(await isHolder(pid))) {
    say("no demo is up")
    return 0
  }
  process.kill(pid, "SIGTERM")
  for (let tries = 0; tries < 300; tries++) {
    if (!(await isHolder(pid))) {
      say("stopped")
      return 0
    }
    await new Promise((resolve) => setTimeout(resolve, 100))
  }
  say(`the demo (process ${pid}) does not stop`)
  return 1
}

/** Pids are used again: only a process that runs this very file is the holder. */
async function isHolder(pid: number): Promise<boolean> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, "utf8")).includes(`${SELF}\0--hold`)
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT" || systemErrorCode(error) === "ESRCH") return false
    throw error
  }
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

function describe(error: unknown): string {
  return error instanceof Error ? `demo failed: ${error.message}` : String(error)
}
