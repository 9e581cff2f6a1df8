/** What the benchmark asks of everybody that it compares. */
import type { ContenderName, ServedKeyType, SigningKeyType } from "../report/schema.js"

export interface Contender {
  readonly name: ContenderName
  /** Writes files; starts nothing. */
  prepare(): Promise<void>
  start(): Promise<void>
  /** Fine if it does not run. */
  stop(): Promise<void>
  /** The processes whose CPU is this contender's, with their descendants. */
  pids(): Promise<number[]>
}

/** Serves a page by TLS with one key. */
export interface HttpsContender extends Contender {
  readonly keyType: ServedKeyType
  readonly port: number
  /** What it answers to `GET /`. */
  readonly page: string
  /** Of the web server: the processes that serve. */
  workers(): Promise<number[]>
}

/** How hard to sign, and with what. */
export interface SigningLoad {
  keyType: SigningKeyType
  threads: number
  seconds: number
  warmupSeconds: number
}

/** What one round of signing came to. */
export interface SigningSample {
  perSecond: number
  p50Us: number | null
  p95Us: number | null
  p99Us: number | null
  /** Of the load tool, the module in it included, and of all other processes of the contender. */
  cpuUsPerOp: number | null
}

/** Signs hash values. */
export interface SigningContender extends Contender {
  sign(load: SigningLoad): Promise<SigningSample>
}
