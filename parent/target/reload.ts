/** Has the web server read its configuration again. */
import { ExecaError, execa } from "execa"
import { AgentError } from "../errors.js"

const RELOAD_TIMEOUT_MS = 60_000

/**
 * Runs the configured command and waits for it.
 *
 * @throws AgentError `reload-failed` with the end of what it said
 */
export async function reloadServer(command: readonly string[]): Promise<void> {
  const [file = "", ...args] = command
  try {
    // The server it may start must not hold our pipes open.
    await execa(file, args, { timeout: RELOAD_TIMEOUT_MS, stdin: "ignore", cleanup: false })
  } catch (cause) {
    const said = cause instanceof ExecaError ? `${cause.shortMessage}: ${cause.stderr}` : ""
    throw new AgentError("reload-failed", `the web server was not reloaded: ${said.slice(-600)}`, {
      advice: "Run options.reload_command by hand and correct what it reports.",
      cause,
    })
  }
}
