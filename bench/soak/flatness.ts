/** Whether something grows over the time of a soak. */
import { median } from "../report/statistics.js"

export interface Flatness {
  what: string
  /** Medians of the second and of the last quarter: the first is where caches fill. */
  early: number
  late: number
  largest: number
  /** Null with fewer samples than can be told by. */
  flat: boolean | null
}

export interface Allowance {
  /** Of the early value, or so much: whichever is more. */
  share: number
  absolute: number
}

/** Garbage collectors leave more behind at one time than at another. */
export const MEMORY_ALLOWANCE: Allowance = { share: 0.1, absolute: 10 }
/** Connections to clients come and go. */
export const DESCRIPTOR_ALLOWANCE: Allowance = { share: 0, absolute: 8 }

const FEWEST_SAMPLES = 8

/** @throws RangeError without samples */
export function judgeFlatness(
  what: string,
  samples: readonly number[],
  allowed: Allowance,
): Flatness {
  const quarter = Math.max(1, Math.floor(samples.length / 4))
  const early = median(
    samples.length < FEWEST_SAMPLES ? samples : samples.slice(quarter, 2 * quarter),
  )
  const late = median(samples.slice(-quarter))
  const growth = Math.max(early * allowed.share, allowed.absolute)
  return {
    ...{ what, early, late, largest: Math.max(...samples) },
    flat: samples.length < FEWEST_SAMPLES ? null : late <= early + growth,
  }
}
