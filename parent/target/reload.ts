/** Has the web server read its configuration again. */
import { type StdioOptions, spawn } from "node:child_process"
import { randomUUID } from "node:crypto"
import { type FileHandle, open, unlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { systemErrorCode } from "../../shared/errors.js"
import { AgentError } from "../errors.js"

const RELOAD_TIMEOUT_MS = 60_000
/** What is quoted of a failing command. */
const MAX_SAID_BYTES = 600

/**
 * Runs the configured command and waits for it.
 *
 * @throws AgentError `reload-failed` with the end of what it said
 */
export async function reloadServer(command: readonly string[]): Promise<void> {
  const output = await openUnlinked()
  try {
    const failure = await run(command, output.fd)
    if (failure === undefined) return
    const said = await endOf(output)
    throw new AgentError("reload-failed", `the web server was not reloaded: ${failure}${said}`, {
      advice: "Run options.reload_command by hand and correct what it reports.",
    })
  } finally {
    await output.close()
  }
}

/**
 * Runs a command until it exits itself. Its output goes to a file: a server that it starts would keep
 * pipes open, and end when it writes to one that we have closed.
 *
 * @returns why it failed, or undefined
 */
function run(
  [file = "", ...args]: readonly string[],
  outputFd: number,
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const stdio: StdioOptions = ["ignore", outputFd, outputFd]
    const child = spawn(file, args, { stdio, timeout: RELOAD_TIMEOUT_MS })
    child.once("error", (error) => resolve(`${file}: ${systemErrorCode(error) ?? error.message}`))
    child.once("exit", (code, signal) => {
      if (code === 0) resolve(undefined)
      else resolve(`${file} ended with ${signal ?? `exit code ${code}`}`)
    })
  })
}

async function openUnlinked(): Promise<FileHandle> {
  const path = join(tmpdir(), `tlskeep-reload-${randomUUID()}`)
  const file = await open(path, "wx+", 0o600)
  await unlink(path)
  return file
}

async function endOf(file: FileHandle): Promise<string> {
  const { size } = await file.stat()
  const length = Math.min(size, MAX_SAID_BYTES)
  const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length)
  const said = buffer.toString().trim()
  return said === "" ? "" : `: ${said}`
}
