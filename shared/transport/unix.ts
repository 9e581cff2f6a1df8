/** Unix stream sockets as transports. */
import { chmod, lstat, unlink } from "node:fs/promises"
import { createConnection, createServer, type Socket } from "node:net"
import type { Duplex } from "node:stream"
import { CodedError, systemErrorCode } from "../errors.js"
import type { Listener } from "./transport.js"

/** Connects to a Unix stream socket; see `connect` for the errors. */
export function connectUnix(path: string, timeoutMs: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path })
    const timer = setTimeout(() => {
      socket.destroy()
      reject(new CodedError("connection-timeout", `${path}: no connection in ${timeoutMs} ms`))
    }, timeoutMs)
    const onError = (cause: Error): void => {
      clearTimeout(timer)
      const reason = systemErrorCode(cause) ?? "failed"
      reject(
        new CodedError("connection-refused", `cannot connect to ${path}: ${reason}`, { cause }),
      )
    }
    socket.once("error", onError)
    socket.once("connect", () => {
      clearTimeout(timer)
      socket.off("error", onError)
      resolve(socket)
    })
  })
}

/**
 * Listens on a Unix stream socket that anyone may connect to. A socket file left behind by a
 * process that is gone is replaced; one that somebody serves is not.
 */
export async function listenUnix(
  path: string,
  onConnection: (stream: Duplex) => void,
): Promise<Listener> {
  await clearUnixPath(path)
  const server = createServer({ allowHalfOpen: false }, onConnection)
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      const inUse = systemErrorCode(cause) === "EADDRINUSE"
      reject(inUse ? new CodedError("address-in-use", `${path} is in use`, { cause }) : cause)
    })
    server.listen({ path }, resolve)
  })
  // A connection that cannot be accepted, for want of memory say, is its peer's loss alone.
  server.removeAllListeners("error").on("error", () => {})
  await openToAll(path)
  let closed: Promise<void> | undefined
  return {
    close: () => {
      closed ??= new Promise((resolve) => {
        // Resolves at once: the callback of close() would wait for every accepted stream.
        server.close()
        resolve()
      })
      return closed
    },
  }
}

/** Gives the socket the permissions of AF_VSOCK, which it stands for: none. */
export async function openToAll(path: string): Promise<void> {
  await chmod(path, 0o666)
}

/**
 * Removes a socket file left behind by a process that is gone.
 *
 * @throws CodedError `address-in-use` for one that somebody serves, or another kind of file
 */
export async function clearUnixPath(path: string): Promise<void> {
  try {
    if (!(await lstat(path)).isSocket()) {
      throw new CodedError("address-in-use", `${path} exists and is not a socket: move it away`)
    }
  } catch (error) {
    if (systemErrorCode(error) === "ENOENT") return
    throw error
  }
  try {
    const socket = await connectUnix(path, 1_000)
    socket.destroy()
  } catch (error) {
    const cause = error instanceof CodedError ? systemErrorCode(error.cause) : undefined
    if (cause === "ENOENT") return
    if (cause === "ECONNREFUSED") {
      await unlink(path)
      return
    }
    // Such as EAGAIN, a full queue of a server that is alive.
    throw new CodedError("address-in-use", `${path}: somebody may listen there`, { cause: error })
  }
  throw new CodedError("address-in-use", `${path}: another process listens there`)
}
