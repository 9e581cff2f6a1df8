/** Looks at a listener as a client does: which certificate it presents in full TLS handshakes. */
import type { X509Certificate } from "node:crypto"
import { isIP } from "node:net"
import { setTimeout as sleep } from "node:timers/promises"
import { connect } from "node:tls"
import { systemErrorCode } from "../../shared/errors.js"
import type { ListenerConfig } from "../config/config.js"
import { AgentError } from "../errors.js"

/** So many handshakes in a row must show it: former workers may answer for a while. */
const HANDSHAKES = 5
const POLL_MS = 50
/** Where a listener is only looked at, once. */
const LOOK_TIMEOUT_MS = 5_000

export interface PresentedRequest {
  listener: ListenerConfig
  certificate: X509Certificate
  timeoutMs: number
}

/**
 * Shakes hands until the listener presents the certificate, and nothing else any more.
 *
 * @throws AgentError `certificate-not-presented` with what was seen last when the time is over
 */
export async function seePresented(request: PresentedRequest): Promise<void> {
  const { listener, certificate, timeoutMs } = request
  const deadline = Date.now() + timeoutMs
  let seen: string | undefined
  for (let inARow = 0; inARow < HANDSHAKES; ) {
    const left = deadline - Date.now()
    if (left <= 0) throw notPresented(request, seen ?? "there was no time for a handshake")
    const answer = await look(listener, certificate, left)
    inARow = answer === "presented" ? inARow + 1 : 0
    if (answer === "presented") continue
    // The last look may have had no time for more.
    if (seen === undefined || !answer.timedOut) seen = answer.saw
    await sleep(Math.min(POLL_MS, Math.max(0, deadline - Date.now())))
  }
}

/** Whether the listener presents the certificate now. */
export async function presents(
  listener: ListenerConfig,
  certificate: X509Certificate,
): Promise<boolean> {
  return (await look(listener, certificate, LOOK_TIMEOUT_MS)) === "presented"
}

/** Whether anything listens there. */
export async function listens(
  listener: ListenerConfig,
  certificate: X509Certificate,
): Promise<boolean> {
  const answer = await look(listener, certificate, LOOK_TIMEOUT_MS)
  return answer === "presented" || answer.connected
}

type Look = "presented" | { saw: string; connected: boolean; timedOut: boolean }

/** One full handshake; whoever vouches for the certificate, it is compared byte by byte. */
function look(
  { address, server_name }: ListenerConfig,
  certificate: X509Certificate,
  timeoutMs: number,
): Promise<Look> {
  const { host, port } = endpoint(address)
  const servername = server_name ?? firstDnsName(certificate)
  return new Promise((resolve) => {
    let connected = false
    const socket = connect({
      host,
      port,
      rejectUnauthorized: false,
      // A virtual host may have a certificate for each kind of key.
      sigalgs: signatureAlgorithms(certificate),
      ...(servername === undefined || isIP(servername) !== 0 ? {} : { servername }),
    })
    const settle = (saw: string | undefined, timedOut = false): void => {
      clearTimeout(timer)
      socket.destroy()
      resolve(saw === undefined ? "presented" : { saw, connected, timedOut })
    }
    const timer = setTimeout(() => settle(`no handshake within ${timeoutMs} ms`, true), timeoutMs)
    socket.once("connect", () => {
      connected = true
    })
    socket.once("secureConnect", () => {
      const { raw } = socket.getPeerCertificate()
      settle(raw?.equals(certificate.raw) ? undefined : "it presents another certificate")
    })
    socket.on("error", (error) => settle(systemErrorCode(error) ?? error.message))
    socket.once("close", () => settle("it closes the connection"))
  })
}

/** Host and port of `<host>:<port>`; IPv6 in brackets. */
export function endpoint(address: string): { host: string; port: number } {
  const [, host = "", port = ""] = /^(.*):([0-9]+)$/.exec(address) ?? []
  return { host: host.replace(/^\[(.*)\]$/, "$1"), port: Number(port) }
}

/** The first DNS name, a name below it where it is a wildcard; undefined where there is none. */
export function firstDnsName({
  subjectAltName = "",
}: Pick<X509Certificate, "subjectAltName">): string | undefined {
  const [, name] = /(?:^|, )DNS:([^,"]+)/.exec(subjectAltName) ?? []
  return name?.replace(/^\*/, "www")
}

/** Has the server choose the certificate of this kind of key. */
export function signatureAlgorithms({ publicKey }: X509Certificate): string {
  switch (publicKey.asymmetricKeyType) {
    case "rsa":
      return "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:rsa_pss_rsae_sha512:RSA+SHA256:RSA+SHA384:RSA+SHA512"
    case "ec":
      return "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512"
    default:
      return "ed25519"
  }
}

function notPresented({ listener, timeoutMs }: PresentedRequest, seen: string): AgentError {
  return new AgentError(
    "certificate-not-presented",
    `${listener.address} did not present the new certificate within ${timeoutMs} ms: ${seen}`,
    {
      advice:
        "Check the target's listener and its server_name, that the virtual host there reads the target's file, the server's own log, and options.reload_wait_ms.",
    },
  )
}
