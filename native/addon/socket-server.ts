/** Accepts connections on a listening socket and hands each one out as a stream. */

import type { AddonError } from "./addon-error.js"
import { binding } from "./binding.js"
import { SocketStream, type SocketStreamOptions } from "./socket-stream.js"

/** Who connected over AF_VSOCK: told by the hypervisor, so it can be relied on. */
export interface VsockPeer {
  readonly cid: number
  readonly port: number
}

export interface SocketServerOptions extends SocketStreamOptions {
  /**
   * Told when a connection could not be accepted (`EMFILE`, `ENFILE`, `ENOMEM`, …). It stays
   * queued, and the server tries again after 100 ms.
   */
  readonly onError?: (error: AddonError) => void
}

export interface SocketServer {
  /** Stops accepting and closes the socket; connections already handed out live on. */
  close(): Promise<void>
  /** Lets the process end although the server listens. */
  unref(): void
}

// Descriptors come back when other connections end: long enough not to spin, short enough not
// to be noticed.
const RETRY_ACCEPT_MS = 100

/**
 * Serves the listening stream socket `fd` (any family; one inherited from a service manager, for
 * example), which it takes over unless it throws.
 *
 * @param onConnection - Receives each connection; `peer` is null unless it came over AF_VSOCK.
 */
export function listenFd(
  fd: number,
  onConnection: (stream: SocketStream, peer: VsockPeer | null) => void,
  options: SocketServerOptions = {},
): SocketServer {
  return acceptFd(
    fd,
    (connection, peer) => {
      let stream: SocketStream
      try {
        stream = new SocketStream(connection, options)
      } catch (error) {
        binding.closeDescriptor(connection)
        options.onError?.(error as AddonError)
        return
      }
      onConnection(stream, peer)
    },
    options,
  )
}

/**
 * As {@link listenFd}, for whoever serves descriptors: each connection's is the receiver's to close.
 */
export function acceptFd(
  fd: number,
  onConnection: (connection: number, peer: VsockPeer | null) => void,
  options: Pick<SocketServerOptions, "onError"> = {},
): SocketServer {
  let retry: NodeJS.Timeout | undefined
  let keepAlive = true
  const refused = (error: AddonError) => {
    retry = setTimeout(() => socket.resume(), RETRY_ACCEPT_MS)
    if (!keepAlive) retry.unref()
    options.onError?.(error)
  }
  const socket = new binding.ListeningSocket(
    fd,
    (connection, cid, port) =>
      onConnection(connection, cid === null || port === null ? null : { cid, port }),
    refused,
  )
  return {
    async close() {
      clearTimeout(retry)
      socket.close()
    },
    unref() {
      keepAlive = false
      retry?.unref()
      socket.keepAlive(false)
    },
  }
}

/** Closes a descriptor that found no owner. @throws AddonError `EBADF` */
export function closeDescriptor(fd: number): void {
  binding.closeDescriptor(fd)
}
