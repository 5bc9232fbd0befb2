/** Several ways to do one thing, timed in turn so that the noise of the machine falls on all of them. */
import { type Figure, median } from './report.ts'

export type Way = { readonly name: string; readonly run: () => void }

/**
 * @param perRound  things that one run does
 * @returns         microseconds of one thing, for each way
 */
export function timeInTurn(ways: readonly Way[], rounds: number, perRound: number): readonly Figure[] {
  const values = ways.map((): number[] => [])
  // The first rounds are for the compiler.
  for (let round = -3; round < rounds; round += 1)
    for (const [place, way] of ways.entries()) {
      const startMs = performance.now()
      way.run()
      const tookUs = ((performance.now() - startMs) * 1_000) / perRound
      if (round >= 0) values[place]?.push(tookUs)
    }
  return ways.map(({ name }, place) => ({ name, unit: 'us', values: values[place] ?? [] }))
}

export function medianOf(figures: readonly Figure[], name: string): number {
  return median(figures.find((figure) => figure.name === name)?.values ?? [])
}
