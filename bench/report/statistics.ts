/** Statistics of the rounds of a benchmark: medians, spreads, and ratios taken round by round. */

/** A figure over all rounds. */
export interface Spread {
  median: number
  min: number
  max: number
}

/**
 * The value below which `share` (0 to 1) of the values lie, interpolated between neighbours.
 *
 * @throws RangeError without values
 */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (sorted.length - 1) * share
  const below = sorted[Math.floor(at)]
  const above = sorted[Math.ceil(at)]
  if (below === undefined || above === undefined) throw new RangeError("there are no values")
  return below + (above - below) * (at - Math.floor(at))
}

/** @throws RangeError without values */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** @throws RangeError without values */
export function spreadOf(values: readonly number[]): Spread {
  return { median: median(values), min: Math.min(...values), max: Math.max(...values) }
}

/**
 * What each round says of one series to another, then the spread of that. A neighbour who takes the
 * machine for a while slows both series of a round alike, and so leaves their ratio.
 *
 * @throws RangeError if the series differ in length, or are empty
 */
export function ratioByRound(series: readonly number[], baseline: readonly number[]): Spread {
  if (series.length !== baseline.length) throw new RangeError("the series differ in length")
  return spreadOf(series.map((value, round) => value / (baseline[round] ?? Number.NaN)))
}
