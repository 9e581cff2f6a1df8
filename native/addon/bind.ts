/** Listening sockets as plain descriptors, for `listenFd` and `acceptFd`. */
import { binding } from "./binding.js"

/** Connections that may wait to be accepted. */
export const DEFAULT_BACKLOG = 128

/**
 * Listens on a Unix stream socket.
 *
 * @param path - at most 107 bytes; `@` at its beginning names an abstract one.
 * @throws {@link AddonError} `invalid-argument` for such a path, `EADDRINUSE`, `EACCES`, `ENOENT`.
 */
export function bindUnix(path: string, backlog = DEFAULT_BACKLOG): number {
  return binding.bindUnix(path, backlog)
}

/**
 * Listens on an AF_VSOCK port of the CID given, `VMADDR_CID_ANY` for every one of this machine.
 *
 * @throws {@link AddonError} `EADDRINUSE`, `EADDRNOTAVAIL` (not a CID of this machine), `EACCES`,
 *   `EAFNOSUPPORT` (no AF_VSOCK here).
 */
export function bindVsock(
  cid: number,
  port: number,
  backlog = DEFAULT_BACKLOG,
): { fd: number; port: number } {
  return binding.bindVsock(cid, port, backlog)
}
