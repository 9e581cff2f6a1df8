/**
 * How long two processes take that wake each other up over pipes, and do nothing else: below this, plus the
 * signature, no round trip to another process comes while the cores are idle.
 */
import { execa } from "execa"

const LOOPS = 20_000
const ROUNDS = 3

/** The median round trip in µs by `perf bench sched pipe`; null where perf is not there. */
export async function pipeRoundTripUs(): Promise<number | null> {
  const measured: number[] = []
  for (let round = 0; round < ROUNDS; round++) {
    const args = ["bench", "sched", "pipe", "-l", String(LOOPS)]
    const { exitCode, stdout } = await execa("perf", args, { reject: false })
    if (exitCode !== 0) return null
    measured.push(parsePipeBenchmark(stdout))
  }
  return measured.sort((a, b) => a - b)[Math.floor(ROUNDS / 2)] ?? null
}

/** The line `12.3 usecs/op`; NaN without it. */
export function parsePipeBenchmark(stdout: string): number {
  return Number(/([0-9.]+) usecs\/op/.exec(stdout)?.[1] ?? Number.NaN)
}
