/** One TLS handshake, to see which certificate a listener presents: looked at, not trusted. */
import type { X509Certificate } from "node:crypto"
import { isIP } from "node:net"
import { connect } from "node:tls"
import { CodedError, systemErrorCode } from "../../shared/errors.js"

export interface ListenerAddress {
  host: string
  port: number
}

export type Handshake =
  | { kind: "presented"; certificate: X509Certificate }
  /** Nobody accepted the connection. */
  | { kind: "unreachable"; reason: string }
  /** Somebody did, and no TLS session came of it. */
  | { kind: "failed"; reason: string }

const TIMEOUT_MS = 12_000

/** `<host>:<port>`, IPv6 in brackets. */
export function parseListener(address: string): ListenerAddress {
  const [, bracketed, plain, port] = /^(?:\[(.+)\]|([^:]+)):(\d+)$/.exec(address) ?? []
  return { host: bracketed ?? plain ?? "", port: Number(port) }
}

/** A full handshake, so a server that cannot sign fails it. Never rejects. */
export function handshake(
  { host, port }: ListenerAddress,
  serverName: string | undefined,
  timeoutMs: number = TIMEOUT_MS,
): Promise<Handshake> {
  const servername = serverName !== undefined && isIP(serverName) === 0 ? serverName : undefined
  return new Promise((resolve) => {
    let accepted = false
    const socket = connect({
      host,
      port,
      // It is compared with the one that was published; clients judge its issuer.
      rejectUnauthorized: false,
      ...(servername === undefined ? {} : { servername }),
    })
    const timer = setTimeout(
      () => socket.destroy(new CodedError("timeout", "no handshake in time")),
      timeoutMs,
    )
    socket.once("connect", () => {
      accepted = true
    })
    socket.once("secureConnect", () => {
      const certificate = socket.getPeerX509Certificate()
      resolve(
        certificate === undefined
          ? { kind: "failed", reason: "no certificate" }
          : { kind: "presented", certificate },
      )
      socket.destroy()
    })
    socket.once("error", (error: Error) => {
      const reason = systemErrorCode(error) ?? error.message
      resolve({ kind: accepted ? "failed" : "unreachable", reason })
    })
    socket.once("close", () => {
      clearTimeout(timer)
      resolve({ kind: accepted ? "failed" : "unreachable", reason: "the connection was closed" })
    })
  })
}
