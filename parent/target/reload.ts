/** Has the web server read its configuration again. */
import { randomUUID } from "node:crypto"
import { type FileHandle, open, unlink } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { ExecaError, execa } from "execa"
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
  const [file = "", ...args] = command
  // A file, not pipes: a server that the command starts keeps them open, and we would wait for it.
  const output = await openUnlinked()
  try {
    await execa(file, args, {
      timeout: RELOAD_TIMEOUT_MS,
      stdin: "ignore",
      stdout: output.fd,
      stderr: output.fd,
      cleanup: false,
    })
  } catch (cause) {
    const reason = cause instanceof ExecaError ? cause.shortMessage : String(cause)
    const said = await endOf(output)
    throw new AgentError("reload-failed", `the web server was not reloaded: ${reason}${said}`, {
      advice: "Run options.reload_command by hand and correct what it reports.",
      cause,
    })
  } finally {
    await output.close()
  }
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
