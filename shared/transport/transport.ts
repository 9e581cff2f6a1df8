/**
 * Byte streams to and from an address of any kind. `unix:` and `unix+vsock:` are made here; AF_VSOCK
 * comes from the native addon, handed in as a {@link VsockTransport} so that this folder needs
 * nothing native.
 */
import type { Duplex } from "node:stream"
import { type Address, formatAddress } from "../address.js"
import { CodedError } from "../errors.js"
import { connectHybridVsock } from "./hybrid-vsock.js"
import { connectUnix, listenUnix } from "./unix.js"

export type TransportErrorCode =
  | "connection-refused"
  | "connection-timeout"
  | "transport-unavailable"
  | "address-in-use"

export interface Listener {
  /** Stops accepting; streams accepted before stay open. Idempotent. */
  close(): Promise<void>
}

/** AF_VSOCK as the native addon provides it. */
export interface VsockTransport {
  connect(peer: { cid: number; port: number; timeoutMs: number }): Promise<Duplex>
  listen(port: number, onConnection: (stream: Duplex) => void): Promise<Listener>
}

export interface TransportOptions {
  vsock?: VsockTransport | undefined
  /** Longest time to establish a connection, in ms; 5000 unless given. */
  timeoutMs?: number
}

export const DEFAULT_CONNECT_TIMEOUT_MS = 5_000

/**
 * Connects to an address.
 *
 * @throws CodedError `connection-refused` (nobody listens, or the multiplexer refused the port),
 *   `connection-timeout`, `transport-unavailable` (`vsock:` without the addon).
 */
export async function connect(address: Address, options: TransportOptions = {}): Promise<Duplex> {
  const timeoutMs = options.timeoutMs ?? DEFAULT_CONNECT_TIMEOUT_MS
  switch (address.kind) {
    case "unix":
      return connectUnix(address.path, timeoutMs)
    case "unix+vsock":
      return connectHybridVsock(address, timeoutMs)
    case "vsock":
      return requireVsock(address, options.vsock).connect({ ...address, timeoutMs })
  }
}

/**
 * Listens on an address. `vsock:` listens on every CID of this machine, whatever CID it names; a
 * `unix+vsock:` address is where a guest's connections to that port arrive, `<path>_<port>`.
 * A Unix socket gets mode 0666: AF_VSOCK, which it stands for, has no permissions either.
 *
 * @throws CodedError `address-in-use`, `transport-unavailable`
 */
export async function listen(
  address: Address,
  onConnection: (stream: Duplex) => void,
  options: TransportOptions = {},
): Promise<Listener> {
  switch (address.kind) {
    case "unix":
      return listenUnix(address.path, onConnection)
    case "unix+vsock":
      return listenUnix(`${address.path}_${address.port}`, onConnection)
    case "vsock":
      return requireVsock(address, options.vsock).listen(address.port, onConnection)
  }
}

function requireVsock(address: Address, vsock: VsockTransport | undefined): VsockTransport {
  if (vsock !== undefined) return vsock
  throw new CodedError(
    "transport-unavailable",
    `${formatAddress(address)}: AF_VSOCK needs the native addon, which is not loaded`,
  )
}
