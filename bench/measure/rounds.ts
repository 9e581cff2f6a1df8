/** Rounds in which everybody has a turn, so that what the machine's neighbours do meets all alike. */

/** What every contender came to, a value for each round, in the order of the rounds. */
export type Series<Sample> = Map<string, Sample[]>

/**
 * Measures A B C A B C …; every other round runs backwards, so that nobody is always first.
 *
 * @param warmUp - called once for each before the first round
 */
export async function interleave<Entry extends { name: string }, Sample>(options: {
  contenders: readonly Entry[]
  rounds: number
  warmUp?: (contender: Entry) => Promise<void>
  measure: (contender: Entry, round: number) => Promise<Sample>
}): Promise<Series<Sample>> {
  const { contenders, rounds, warmUp, measure } = options
  const series: Series<Sample> = new Map(contenders.map(({ name }) => [name, []]))
  if (warmUp !== undefined) for (const contender of contenders) await warmUp(contender)
  for (let round = 0; round < rounds; round++) {
    const order = round % 2 === 0 ? contenders : contenders.toReversed()
    for (const contender of order) {
      const sample = await measure(contender, round)
      series.get(contender.name)?.push(sample)
    }
  }
  return series
}
