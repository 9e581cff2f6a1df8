/**
 * What the agent knows at one moment: the shape that its socket serves, and that `tlskeep status` and the
 * metrics are made of. All times are ms since the epoch by the host's clock.
 */
import type { EnclaveDescription, TokenDescription } from "../../shared/protocol/control.js"

export interface AgentStatus {
  version: string
  pid: number
  startedAt: number
  now: number
  configFile: string
  enclave: EnclaveStatus
  /** In the order of the configuration. */
  tokens: TokenStatus[]
}

export interface EnclaveStatus {
  state: "starting" | "up" | "down"
  /** Since when it is in this state. */
  since: number
  enclaveId?: string
  cid?: number
  imagePath?: string
  /** It ran already when this agent came. */
  adopted?: boolean
  /** Fresh from the enclave; its tokens stand with the agent's below. Absent where it does not answer. */
  description?: Omit<EnclaveDescription, "tokens">
  /** Control connections made since the agent's start, but for the first. */
  reconnects: number
  error?: ErrorRecord
  nextTryAt?: number
}

export interface TokenStatus {
  label: string
  /**
   * `pending`: not brought in yet. `serving`: all is well. `degraded`: signs, but the last round failed.
   * `failed`: does not sign. `released`: KMS denied it, and the enclave gave its key up.
   */
  state: "pending" | "serving" | "degraded" | "failed" | "released"
  /** `s3://bucket/key`, an ARN, or a file. */
  source: string
  /** The file written for the web server. */
  target: string
  certificate?: CertificateStatus
  /** Last time the source was asked with success. */
  syncedAt?: number
  /** Last time the web server was given new files and checked. */
  publishedAt?: number
  nextSyncAt?: number
  nextRefreshAt?: number
  nextRetryAt?: number
  /** Rounds that failed since the last good one. */
  failures: number
  error?: ErrorRecord
  /** What the enclave says of it; absent where it holds no such token. */
  enclave?: TokenDescription
}

export interface CertificateStatus {
  subject: string
  /** DNS names and IP addresses of the subject alternative name. */
  names: string[]
  serialNumber: string
  notBefore: number
  notAfter: number
  /** SHA-256 of the DER, hex. */
  fingerprint: string
}

export interface ErrorRecord {
  code: string
  reason: string
  advice?: string
  /** When it was seen last. */
  at: number
}

/** What the agent's socket can be asked for. */
export interface AgentControl {
  status(): Promise<AgentStatus>
  /**
   * Brings up another enclave beside the running one and moves everything there.
   *
   * @param progress - called with a sentence at each step
   * @throws AgentError; the old enclave goes on serving then
   */
  replaceEnclave(
    options: { imagePath?: string },
    progress: (step: string) => void,
  ): Promise<{ enclaveId: string; pcr0: string }>
}
