/** Counts how long answers took, as a cumulative histogram. */
import type { SigningLatency } from "../../native/addon/index.js"
import type { LatencyHistogram } from "../../shared/protocol/control.js"

/** µs: from a P-256 signature on an idle core to RSA-4096 signatures that queue. */
export const LATENCY_BOUNDS = [
  50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
] as const

export class LatencyMeter {
  /** How many fell between a bound and the one below; the last is for those above all. */
  readonly #counts = new Array<number>(LATENCY_BOUNDS.length + 1).fill(0)
  #sumMs = 0
  readonly #elsewhere: () => SigningLatency

  /** @param elsewhere - what the signing threads have counted in the same buckets */
  constructor(elsewhere: () => SigningLatency) {
    this.#elsewhere = elsewhere
  }

  /** @param startedAt - of `performance.now()` */
  observe(startedAt: number): void {
    const ms = performance.now() - startedAt
    this.#sumMs += ms
    let index = 0
    // Most answers fall into the first few.
    while (index < LATENCY_BOUNDS.length && ms * 1_000 > (LATENCY_BOUNDS[index] ?? 0)) index++
    this.#counts[index] = (this.#counts[index] ?? 0) + 1
  }

  read(): LatencyHistogram {
    const elsewhere = this.#elsewhere()
    let total = 0
    const cumulative = this.#counts.map((count, bucket) => {
      total += count + (elsewhere.counts[bucket] ?? 0)
      return total
    })
    return {
      bounds: [...LATENCY_BOUNDS],
      counts: cumulative.slice(0, LATENCY_BOUNDS.length),
      count: total,
      sum: Math.round(this.#sumMs * 1_000 + elsewhere.sum),
    }
  }
}
