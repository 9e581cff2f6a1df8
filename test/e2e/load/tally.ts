/** Counts what the clients of a load did: outcomes, failures by reason, latencies, certificates. */
import type { Latency, LoadFailure, LoadProgress, LoadReport, Presented } from "./report.js"

/** An attempt that ended well. */
export interface Success {
  serverName: string
  fingerprint: string
  protocol: string
  handshakeMs: number
  requestMs: number
}

/** All are counted; so many are described. */
const MAX_FAILURES_KEPT = 1_000

export class Tally {
  readonly #startedAt = Date.now()
  readonly #handshakes: number[] = []
  readonly #requests: number[] = []
  readonly #failures: LoadFailure[] = []
  readonly #reasons: Record<string, number> = {}
  readonly #protocols: Record<string, number> = {}
  readonly #presented = new Map<string, Presented>()
  #failed = 0
  #lastSuccess = performance.now()
  #longestGapMs = 0

  succeeded(success: Success): void {
    const { serverName, fingerprint, protocol, handshakeMs, requestMs } = success
    this.#handshakes.push(handshakeMs)
    this.#requests.push(requestMs)
    this.#protocols[protocol] = (this.#protocols[protocol] ?? 0) + 1
    this.#endGap()
    const at = Date.now()
    const key = `${serverName} ${fingerprint}`
    const seen = this.#presented.get(key)
    if (seen === undefined) {
      this.#presented.set(key, { serverName, fingerprint, count: 1, first: at, last: at })
    } else {
      seen.count++
      seen.last = at
    }
  }

  failed(failure: Omit<LoadFailure, "at">): void {
    const name = `${failure.stage}: ${failure.reason}`
    this.#failed++
    this.#reasons[name] = (this.#reasons[name] ?? 0) + 1
    if (this.#failures.length < MAX_FAILURES_KEPT)
      this.#failures.push({ at: Date.now(), ...failure })
  }

  progress(): LoadProgress {
    const presented = [...this.#presented.values()]
    return { succeeded: this.#handshakes.length, failed: this.#failed, presented }
  }

  report(): LoadReport {
    this.#endGap()
    const progress = this.progress()
    return {
      ...progress,
      startedAt: this.#startedAt,
      endedAt: Date.now(),
      connects: progress.succeeded + progress.failed,
      reasons: this.#reasons,
      failures: this.#failures,
      handshakeMs: latencyOf(this.#handshakes),
      requestMs: latencyOf(this.#requests),
      protocols: this.#protocols,
      longestGapMs: round(this.#longestGapMs),
    }
  }

  #endGap(): void {
    const now = performance.now()
    this.#longestGapMs = Math.max(this.#longestGapMs, now - this.#lastSuccess)
    this.#lastSuccess = now
  }
}

/** Of nothing all are 0. */
export function latencyOf(samples: readonly number[]): Latency {
  const sorted = Float64Array.from(samples).sort()
  // Nearest rank: the smallest sample that so large a share of all does not exceed.
  const rank = (share: number) => round(sorted[Math.ceil(share * sorted.length) - 1] ?? 0)
  return { p50: rank(0.5), p99: rank(0.99), max: rank(1) }
}

function round(ms: number): number {
  return Math.round(ms * 10) / 10
}
