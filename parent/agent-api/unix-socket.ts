/** Listening on a Unix socket whose file may be there already: a leftover goes, a live one stays. */
import { once } from "node:events"
import { lstat, rm } from "node:fs/promises"
import { connect, type Server } from "node:net"
import { systemErrorCode } from "../../shared/errors.js"

/** sun_path of unix(7), with its terminator. */
const MAX_PATH_BYTES = 107

/**
 * Listens on `path`, whose file has `mode` from its first moment on.
 *
 * @throws Error with the code `EADDRINUSE` if another process listens there or the file is no socket;
 *   `ENAMETOOLONG` for a path of more than 107 bytes; what bind() refuses
 */
export async function listenOnUnixSocket(
  server: Server,
  path: string,
  mode: number,
): Promise<void> {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    // bind() would cut it, and listen somewhere else.
    throw Object.assign(new Error(`${path} is too long for a socket`), { code: "ENAMETOOLONG" })
  }
  await removeLeftover(path)
  const listening = once(server, "listening")
  // Node binds within listen(): the mask is back before anything else runs.
  const mask = process.umask(0o777 & ~mode)
  try {
    server.listen(path)
  } finally {
    process.umask(mask)
  }
  await listening
}

async function removeLeftover(path: string): Promise<void> {
  const kind = await lstat(path).catch((error: unknown) => {
    if (systemErrorCode(error) === "ENOENT") return undefined
    throw error
  })
  if (kind === undefined) return
  if (!kind.isSocket()) {
    throw Object.assign(new Error(`${path} is there and no socket`), { code: "EADDRINUSE" })
  }
  if (await answers(path)) {
    throw Object.assign(new Error(`another process listens at ${path}`), { code: "EADDRINUSE" })
  }
  await rm(path, { force: true })
}

/** Whether a process listens at `path`, even one that is too busy to accept. */
async function answers(path: string): Promise<boolean> {
  const socket = connect(path)
  try {
    await once(socket, "connect")
    return true
  } catch (error) {
    const code = systemErrorCode(error)
    return code !== "ECONNREFUSED" && code !== "ENOENT"
  } finally {
    socket.destroy()
  }
}
