/** Runs the web server's commands: to their own end, never to the end of a server that they start. */
import { type StdioOptions, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { type FileHandle, open, unlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { systemErrorCode } from "../../shared/errors.js"

export interface CommandOutcome {
  /** Why the command failed, such as `nginx ended with exit code 1`; undefined if it did not. */
  failure: string | undefined
  /** The end of what it wrote, stdout and stderr together, from the start of a line. */
  output: string
}

/** What runs a command; it never rejects. Tests give another. */
export type CommandRunner = (
  command: readonly string[],
  timeoutMs?: number,
) => Promise<CommandOutcome>

const TIMEOUT_MS = 60_000
const MAX_OUTPUT_BYTES = 16_384

/**
 * Variables that are the agent's alone: a server must not answer systemd in its name, nor be handed the
 * credentials that it was started with.
 */
const KEPT_BACK =
  /^(NOTIFY_SOCKET|WATCHDOG_(USEC|PID)|LISTEN_(FDS|PID|FDNAMES)|AWS_(ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN))$/

/**
 * Runs a command until it exits itself, at most `timeoutMs`. Its output goes to a file: a server that it
 * starts would keep pipes open, and end when it writes to one that we have closed.
 */
export async function runCommand(
  [file = "", ...args]: readonly string[],
  timeoutMs: number = TIMEOUT_MS,
): Promise<CommandOutcome> {
  const log = await openUnlinked()
  try {
    const failure = await new Promise<string | undefined>((resolve) => {
      const stdio: StdioOptions = ["ignore", log.fd, log.fd]
      const child = spawn(file, args, { stdio, timeout: timeoutMs, env: environment() })
      child.once("error", (error) => resolve(`${file}: ${systemErrorCode(error) ?? error.message}`))
      child.once("exit", (code, signal) => {
        if (code === 0) resolve(undefined)
        else resolve(`${file} ended with ${signal ?? `exit code ${code}`}`)
      })
    })
    return { failure, output: await endOf(log) }
  } finally {
    await log.close()
  }
}

function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !KEPT_BACK.test(name)))
}

async function openUnlinked(): Promise<FileHandle> {
  const path = join(tmpdir(), `tlskeep-command-${randomUUID()}`)
  const file = await open(path, "wx+", 0o600)
  await unlink(path)
  return file
}

async function endOf(file: FileHandle): Promise<string> {
  const { size } = await file.stat()
  const length = Math.min(size, MAX_OUTPUT_BYTES)
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length)
  const text = buffer.toString()
  // A line that was cut may begin within a URI, which could not be told any more.
  return size > length ? text.slice(text.indexOf("\n") + 1) : text
}
