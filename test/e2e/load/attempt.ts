/** One attempt of a load client: a TCP connection, a full TLS handshake and one HTTP request. */
import { connect, type SecureContext, type TLSSocket } from "node:tls"
import { systemErrorCode } from "../../../shared/errors.js"
import type { Stage } from "./report.js"
import type { Success } from "./tally.js"

export interface AttemptOptions {
  port: number
  serverName: string
  /** Roots and protocol; keeps no sessions by itself. */
  secureContext: SecureContext
  timeoutMs: number
}

/** Why an attempt failed, and where. */
export class AttemptError extends Error {
  readonly stage: Stage
  readonly reason: string

  constructor(stage: Stage, reason: string, cause?: unknown) {
    super(`${stage}: ${reason}`, { cause })
    this.stage = stage
    this.reason = reason
  }
}

/**
 * Makes one attempt. It ends well when the server has sent the whole of a page with status 200.
 *
 * @throws AttemptError, once for whatever goes wrong first
 */
export function attempt(options: AttemptOptions): Promise<Success> {
  return new Promise((resolve, reject) => {
    const { port, serverName, secureContext, timeoutMs } = options
    const startedAt = performance.now()
    let stage: Stage = "connect"
    let shaken: Omit<Success, "requestMs"> | undefined
    const received: Buffer[] = []
    const socket = connect({ host: "127.0.0.1", port, servername: serverName, secureContext })
    const settle = (failure?: AttemptError) => {
      clearTimeout(timer)
      socket.destroy()
      if (failure === undefined && shaken !== undefined) {
        resolve({ ...shaken, requestMs: performance.now() - startedAt })
      } else reject(failure)
    }
    // Of the whole attempt: a socket's own time-out starts anew with every byte.
    const timer = setTimeout(() => settle(new AttemptError(stage, "timeout")), timeoutMs)
    const finish = () => {
      if (stage !== "request") return settle(new AttemptError(stage, "closed"))
      const wrong = faultOf(Buffer.concat(received))
      settle(wrong === undefined ? undefined : new AttemptError(stage, wrong))
    }
    socket.once("connect", () => {
      stage = "handshake"
    })
    socket.once("secureConnect", () => {
      if (socket.isSessionReused()) return settle(new AttemptError(stage, "resumed"))
      shaken = {
        serverName,
        fingerprint: fingerprintOf(socket),
        protocol: socket.getProtocol() ?? "",
        handshakeMs: performance.now() - startedAt,
      }
      stage = "request"
      socket.write(`GET / HTTP/1.1\r\nHost: ${serverName}\r\nConnection: close\r\n\r\n`)
    })
    socket.on("data", (bytes: Buffer) => received.push(bytes))
    socket.once("end", finish)
    socket.once("close", finish)
    socket.once("error", (error) => settle(new AttemptError(stage, reasonOf(error), error)))
  })
}

function fingerprintOf(socket: TLSSocket): string {
  const certificate = socket.getPeerX509Certificate()
  return certificate?.fingerprint256.replaceAll(":", "").toLowerCase() ?? ""
}

/** OpenSSL's and the system's codes, which say more than sentences that change with versions. */
function reasonOf(error: Error): string {
  return systemErrorCode(error) ?? error.message
}

/** What is wrong with an answer of HTTP/1.1 with a Content-Length; undefined if nothing. */
function faultOf(answer: Buffer): string | undefined {
  const end = answer.indexOf("\r\n\r\n")
  if (end < 0) return "truncated"
  const head = answer.toString("latin1", 0, end)
  const status = /^HTTP\/1\.1 ([0-9]{3})/.exec(head)?.[1] ?? "unknown"
  if (status !== "200") return `status-${status}`
  const length = Number(/^content-length: *([0-9]+)$/im.exec(head)?.[1] ?? Number.NaN)
  return answer.length - end - 4 === length ? undefined : "truncated"
}
