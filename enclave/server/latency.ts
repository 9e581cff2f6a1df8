/** Counts how long answers took, as a cumulative histogram. */
import type { LatencyHistogram } from "../../shared/protocol/control.js"

/** µs: from a P-256 signature on an idle core to RSA-4096 signatures that queue. */
const BOUNDS = [
  50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
] as const

export class LatencyMeter {
  /** How many fell between a bound and the one below; the last is for those above all. */
  readonly #counts = new Array<number>(BOUNDS.length + 1).fill(0)
  #sumMs = 0

  /** @param startedAt - of `performance.now()` */
  observe(startedAt: number): void {
    const ms = performance.now() - startedAt
    this.#sumMs += ms
    let index = 0
    // Most answers fall into the first few.
    while (index < BOUNDS.length && ms * 1_000 > (BOUNDS[index] ?? 0)) index++
    this.#counts[index] = (this.#counts[index] ?? 0) + 1
  }

  read(): LatencyHistogram {
    let total = 0
    const cumulative = this.#counts.map((count) => {
      total += count
      return total
    })
    return {
      bounds: [...BOUNDS],
      counts: cumulative.slice(0, BOUNDS.length),
      count: total,
      sum: Math.round(this.#sumMs * 1_000),
    }
  }
}
