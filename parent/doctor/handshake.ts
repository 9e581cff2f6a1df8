/** One TLS handshake, to see which certificate a listener presents: looked at, not trusted. */
import type { X509Certificate } from "node:crypto"
import { isIP } from "node:net"
import { connect } from "node:tls"
import { CodedError, systemErrorCode } from "../../shared/errors.js"
import type { ListenerConfig } from "../config/config.js"
import { endpoint, firstDnsName, signatureAlgorithms } from "../target/presented.js"

export type Handshake =
  | { kind: "presented"; certificate: X509Certificate }
  /** Nobody accepted the connection. */
  | { kind: "unreachable"; reason: string }
  /** Somebody did, and no TLS session came of it. */
  | { kind: "failed"; reason: string }

const TIMEOUT_MS = 12_000

/** A full handshake, so a server that cannot sign fails it. Never rejects. */
export function handshake(
  { address, server_name }: ListenerConfig,
  expected: X509Certificate,
  timeoutMs: number = TIMEOUT_MS,
): Promise<Handshake> {
  const { host, port } = endpoint(address)
  const name = server_name ?? firstDnsName(expected)
  const servername = name !== undefined && isIP(name) === 0 ? name : undefined
  return new Promise((resolve) => {
    let accepted = false
    const socket = connect({
      host,
      port,
      // It is compared with the one that was published; clients judge its issuer.
      rejectUnauthorized: false,
      sigalgs: signatureAlgorithms(expected),
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
