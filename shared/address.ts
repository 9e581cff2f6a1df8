/**
 * The one address syntax of tlskeep: `vsock:<cid>:<port>`, `unix:<path>` and
 * `unix+vsock:<path>:<port>`, and patterns of it with `{cid}` and `{port}` to be filled in.
 */
import { CodedError } from "./errors.js"

export type Address =
  | { kind: "vsock"; cid: number; port: number }
  | { kind: "unix"; path: string }
  /** A hybrid-vsock multiplexer (Firecracker, Cloud Hypervisor, vhost-device-vsock). */
  | { kind: "unix+vsock"; path: string; port: number }

export type AddressErrorCode = "malformed-address"

/** Longest path of a Unix socket: sizeof(sockaddr_un.sun_path) - 1 on Linux, unix(7). */
export const MAX_SOCKET_PATH_BYTES = 107
/** 0xffffffff is VMADDR_CID_ANY and VMADDR_PORT_ANY, vsock(7): no peer has it. */
const MAX_U32_BUT_ANY = 0xfffffffe

const EXPECTED = "expected vsock:<cid>:<port>, unix:<path> or unix+vsock:<path>:<port>"

/**
 * Parses an address.
 *
 * @throws CodedError `malformed-address`, saying which part is wrong.
 */
export function parseAddress(text: string): Address {
  const colon = text.indexOf(":")
  const kind = text.slice(0, colon)
  const rest = text.slice(colon + 1)
  if (colon > 0 && kind === "unix") return { kind, path: socketPath(rest, text) }
  if (colon > 0 && kind === "vsock") {
    const parts = rest.split(":")
    if (parts.length !== 2) throw malformed(text, EXPECTED)
    return { kind, cid: u32(parts[0], "CID", text), port: u32(parts[1], "port", text) }
  }
  if (colon > 0 && kind === "unix+vsock") {
    const last = rest.lastIndexOf(":")
    if (last < 0) throw malformed(text, "the port is missing: unix+vsock:<path>:<port>")
    return {
      kind,
      path: socketPath(rest.slice(0, last), text),
      port: u32(rest.slice(last + 1), "port", text),
    }
  }
  throw malformed(text, EXPECTED)
}

/** The address as {@link parseAddress} reads it. */
export function formatAddress(address: Address): string {
  switch (address.kind) {
    case "vsock":
      return `vsock:${address.cid}:${address.port}`
    case "unix":
      return `unix:${address.path}`
    case "unix+vsock":
      return `unix+vsock:${address.path}:${address.port}`
  }
}

/**
 * Fills `{cid}` and `{port}` into an address pattern such as `vsock:{cid}:{port}` and parses it.
 *
 * @throws CodedError `malformed-address`
 */
export function addressFromPattern(
  pattern: string,
  values: { cid: number; port: number },
): Address {
  return parseAddress(
    pattern.replaceAll("{cid}", String(values.cid)).replaceAll("{port}", String(values.port)),
  )
}

function socketPath(path: string, text: string): string {
  if (!path.startsWith("/")) throw malformed(text, "the socket's path must be absolute")
  if (path.includes("\0")) throw malformed(text, "the socket's path holds a NUL")
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH_BYTES) {
    throw malformed(text, `the socket's path is longer than ${MAX_SOCKET_PATH_BYTES} bytes`)
  }
  return path
}

function u32(digits: string | undefined, what: string, text: string): number {
  const value = /^[0-9]{1,10}$/.test(digits ?? "") ? Number(digits) : Number.NaN
  if (!(value <= MAX_U32_BUT_ANY)) {
    throw malformed(text, `the ${what} must be a number from 0 to ${MAX_U32_BUT_ANY}`)
  }
  return value
}

function malformed(text: string, reason: string): CodedError<AddressErrorCode> {
  return new CodedError("malformed-address", `malformed address ${JSON.stringify(text)}: ${reason}`)
}
