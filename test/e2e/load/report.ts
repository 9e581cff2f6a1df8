/** What a load client is asked for, and what it says: the shapes that its process and a test share. */

export const PROTOCOLS = ["TLSv1.2", "TLSv1.3"] as const
export type Protocol = (typeof PROTOCOLS)[number]

export interface LoadOptions {
  /** Of 127.0.0.1. */
  port: number
  /** PEM of the root that has to vouch for the server. */
  ca: string
  /** Names asked for by SNI and verified, in turn. */
  serverNames: readonly string[]
  /** Clients at work at the same time. */
  clients: number
  /** Between the end of a client's attempt and its next. */
  pauseMs: number
  /** Used by the clients in turn. */
  protocols: readonly Protocol[]
  /** For one handshake and its request; more is a failure. */
  timeoutMs: number
}

/** How far one attempt came: TCP, TLS, HTTP. */
export type Stage = "connect" | "handshake" | "request"

export interface LoadFailure {
  /** ms since the epoch */
  at: number
  stage: Stage
  /** A system or OpenSSL error code, or `timeout`, `resumed`, `status-<n>`, `truncated`. */
  reason: string
}

/** Milliseconds. */
export interface Latency {
  p50: number
  p99: number
  max: number
}

/** A certificate that was presented under a name, in order of its first appearance. */
export interface Presented {
  serverName: string
  /** SHA-256 of the DER, lower-case hex. */
  fingerprint: string
  count: number
  /** When the first and the last handshake with it ended, ms since the epoch. */
  first: number
  last: number
}

/** Written once in a while. */
export interface LoadProgress {
  succeeded: number
  failed: number
  presented: Presented[]
}

export interface LoadReport extends LoadProgress {
  startedAt: number
  endedAt: number
  /** Attempts, all of which either succeeded or failed. */
  connects: number
  /** Number of failures by `<stage>: <reason>`. */
  reasons: Record<string, number>
  /** The first thousand of them. */
  failures: LoadFailure[]
  /** Of successful attempts: from the first packet to the end of the handshake, of the whole. */
  handshakeMs: Latency
  requestMs: Latency
  /** Successful attempts by protocol. */
  protocols: Record<string, number>
  /** Longest time in which no attempt of any client ended well. */
  longestGapMs: number
}
