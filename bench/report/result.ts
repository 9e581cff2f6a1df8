/** Turns the samples of a case into results: medians over rounds, ratios to the baseline by round. */
import { CodedError } from "../../shared/errors.js"
import type { Series } from "../measure/rounds.js"
import type { ContenderName, Result } from "./schema.js"
import { median, ratioByRound } from "./statistics.js"

/** One contender in one round. */
export interface Sample {
  perSecond: number
  p50Us: number | null
  p95Us: number | null
  p99Us: number | null
  cpuUsPerOp: number | null
  /** Of the machine, 0 to 1, while it was measured. */
  idleShare: number | null
}

export type Case = Pick<Result, "section" | "name" | "key" | "protocol" | "clients">

/** @throws CodedError `no-baseline` if the baseline was not measured */
export function resultsOf(about: Case, series: Series<Sample>, baseline: ContenderName): Result[] {
  const base = series.get(baseline)
  if (base === undefined) throw new CodedError("no-baseline", `${baseline} was not measured`)
  const baseCpu = allOf(base, ({ cpuUsPerOp }) => cpuUsPerOp)
  return [...series].map(([contender, samples]) => {
    const perSecond = samples.map((sample) => sample.perSecond)
    const cpu = allOf(samples, ({ cpuUsPerOp }) => cpuUsPerOp)
    const cpuUs = cpu === null ? null : median(cpu)
    const middle = (pick: (sample: Sample) => number | null) => {
      const values = allOf(samples, pick)
      return values === null ? null : median(values)
    }
    return {
      ...about,
      contender: contender as ContenderName,
      per_second: median(perSecond),
      per_second_rounds: perSecond,
      p50_us: middle(({ p50Us }) => p50Us),
      p95_us: middle(({ p95Us }) => p95Us),
      p99_us: middle(({ p99Us }) => p99Us),
      cpu_us_per_op: cpuUs,
      idle_share: middle(({ idleShare }) => idleShare),
      per_cpu_second: cpuUs === null || cpuUs === 0 ? null : 1e6 / cpuUs,
      baseline,
      ratio: ratioByRound(
        perSecond,
        base.map((sample) => sample.perSecond),
      ),
      cpu_ratio: cpu === null || baseCpu === null ? null : ratioByRound(cpu, baseCpu),
    }
  })
}

/** The values, or null if one is missing. */
function allOf(
  samples: readonly Sample[],
  pick: (sample: Sample) => number | null,
): number[] | null {
  const values = samples.map(pick).filter((value) => value !== null)
  return values.length === samples.length ? values : null
}
