/** Datagrams to Unix sockets, which Node cannot send: the way to a service manager. */

import { binding } from "./binding.js"

/**
 * Sends one datagram, without waiting.
 *
 * @param path - of the socket, at most 107 bytes; `@` at its beginning names an abstract one.
 * @throws {@link AddonError} `invalid-argument` for such a path; `ENOENT`, `ECONNREFUSED` (nobody
 *   listens), `EAGAIN` (the receiver's queue is full), `EMSGSIZE`.
 */
export function sendUnixDatagram(path: string, message: string): void {
  binding.sendUnixDatagram(path, Buffer.from(message))
}
