/** A server under test that runs in the foreground: ready when its port accepts connections. */
import { connect } from "node:net"
import { execa } from "execa"
import { CodedError } from "../../shared/errors.js"
import { BackgroundProcess, type StartOptions } from "./background-process.js"

export interface ServerOptions extends StartOptions {
  port: number
  timeoutMs?: number
}

/**
 * Starts it and waits for its port.
 *
 * @throws CodedError `server-failed` with its last lines if it ends first or takes too long; then
 *   it is stopped.
 */
export async function startServer(options: ServerOptions): Promise<BackgroundProcess> {
  const { port, timeoutMs = 30_000, ...start } = options
  const server = BackgroundProcess.start(start)
  for (const deadline = Date.now() + timeoutMs; !(await accepts(port)); ) {
    if (!server.running || Date.now() > deadline) {
      await server.stop()
      const lines = server.lines.slice(-20).join("\n")
      throw new CodedError("server-failed", `${options.name} does not listen:\n${lines}`)
    }
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  return server
}

/** Whether a port of the loopback interface accepts connections. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: "127.0.0.1", port })
    socket.once("connect", () => {
      socket.destroy()
      resolve(true)
    })
    socket.once("error", () => resolve(false))
  })
}

/**
 * A command as www-data: p11-kit reads a user's configuration, and does not read that of root.
 *
 * @returns command and arguments for whoever starts it
 */
export function asWwwData(command: string, args: readonly string[] = []): [string, string[]] {
  const identity = ["--reuid=www-data", "--regid=www-data", "--init-groups"]
  return process.getuid?.() === 0
    ? ["setpriv", [...identity, command, ...args]]
    : [command, [...args]]
}

/** Gives a directory and what is in it to the user of {@link asWwwData}. */
export async function ownByWwwData(dir: string): Promise<void> {
  if (process.getuid?.() === 0) await execa("chown", ["-R", "www-data:www-data", dir])
}
