/** AF_VSOCK: connections between an enclave and its parent instance. */

import { AddonError } from "./addon-error.js"
import { bindVsock } from "./bind.js"
import { binding } from "./binding.js"
import {
  listenFd,
  type SocketServer,
  type SocketServerOptions,
  type VsockPeer,
} from "./socket-server.js"
import { SocketStream, type SocketStreamOptions } from "./socket-stream.js"

/** Listens on every CID of this machine (linux/vm_sockets.h). */
export const VMADDR_CID_ANY = 0xffff_ffff

/** Lets the kernel choose the port to listen on (linux/vm_sockets.h); 0 is a port like any other. */
export const VMADDR_PORT_ANY = 0xffff_ffff

export interface ConnectVsockOptions extends SocketStreamOptions {
  /** CID of the other side: 3 is an enclave's parent instance. */
  readonly cid: number
  readonly port: number
  /** Default 10,000. */
  readonly timeoutMs?: number
}

/**
 * Connects over AF_VSOCK.
 *
 * @returns The connected stream; without a handler for its `error` events these are uncaught
 *   exceptions.
 * @throws {@link AddonError} `ETIMEDOUT`, `ECONNRESET` or `ECONNREFUSED` (nobody listens),
 *   `ENODEV` or `EHOSTUNREACH` (no such CID), `EAFNOSUPPORT` (no AF_VSOCK here).
 */
export async function connectVsock(options: ConnectVsockOptions): Promise<SocketStream> {
  const { cid, port, timeoutMs = 10_000 } = options
  const fd = binding.startVsockConnect(cid, port, timeoutMs)
  let stream: SocketStream
  try {
    stream = new SocketStream(fd, options)
  } catch (error) {
    binding.closeDescriptor(fd)
    throw error
  }
  // The kernel's own time-out is set as well; this one holds whatever the transport does.
  let timer: NodeJS.Timeout | undefined
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new AddonError("ETIMEDOUT", `connect: no answer in ${timeoutMs} ms`)),
      timeoutMs,
    )
  })
  try {
    await Promise.race([stream.connected(), expired])
    return stream
  } catch (error) {
    stream.destroy()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

export interface ListenVsockOptions extends SocketServerOptions {
  /** {@link VMADDR_PORT_ANY} lets the kernel choose. Ports below 1024 take CAP_NET_BIND_SERVICE. */
  readonly port: number
  /** Default {@link VMADDR_CID_ANY}. */
  readonly cid?: number
  /** Connections that may wait to be accepted. Default 128. */
  readonly backlog?: number
}

export interface VsockServer extends SocketServer {
  /** The port listened on. */
  readonly port: number
}

/**
 * Listens on an AF_VSOCK port.
 *
 * @throws {@link AddonError} `EADDRINUSE`, `EADDRNOTAVAIL` (not a CID of this machine), `EACCES`,
 *   `EAFNOSUPPORT` (no AF_VSOCK here).
 */
export async function listenVsock(
  options: ListenVsockOptions,
  onConnection: (stream: SocketStream, peer: VsockPeer) => void,
): Promise<VsockServer> {
  const { cid = VMADDR_CID_ANY, port, backlog } = options
  const bound = bindVsock(cid, port, backlog)
  try {
    const server = listenFd(
      bound.fd,
      (stream, peer) => {
        if (peer !== null) onConnection(stream, peer)
        else stream.destroy() // cannot be: an AF_VSOCK socket accepts AF_VSOCK peers
      },
      options,
    )
    return { ...server, port: bound.port }
  } catch (error) {
    binding.closeDescriptor(bound.fd)
    throw error
  }
}

/**
 * The CID of this machine, as /dev/vsock tells it.
 *
 * @throws {@link AddonError} `ENOENT` (no such device), `EACCES`, `ENOTTY`.
 */
export function localCid(): number {
  return binding.localCid()
}
