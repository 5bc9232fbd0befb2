/** How often a table catches what: whole outputs, stretches of so many tokens of one, and several outputs of one worker together. */
import { OUTSIDE_MARGIN_NATS } from '../../core/verification/margin.ts'
import { type PolicyTable, type Scores, verdictOf } from '../../core/verification/policy-table.ts'
import type { Prng } from '../simulation/prng.ts'
import { type Rate, rateOf } from './bounds.ts'
import type { Margins } from './fit.ts'
import type { Trial } from './trials.ts'

export type Verdict = ReturnType<typeof verdictOf>

/** Of a list of verdicts: suspect or fail, and fail alone. */
export type Caught = { readonly caught: Rate; readonly failed: Rate; readonly abstained: number }

/** Judges margins as an auditor's report of them is judged. */
export function verdictOn(table: PolicyTable, trial: Omit<Trial, 'margins'>, margins: Margins): Verdict {
  return verdictOf(table, scoresOf(margins), trial)
}

const CLIP_NATS = 3
const MICRO = 1e6

/** The statistics that a verdict looks at, as `statisticsOf` has them; thousands of long lists are judged, and need no Merkle roots. */
export function scoresOf(margins: Margins): Scores {
  let [sum, worst, outsideCount] = [0, 0, 0]
  for (const margin of margins) {
    sum += Math.min(margin, CLIP_NATS)
    worst = Math.max(worst, margin)
    if (margin >= OUTSIDE_MARGIN_NATS) outsideCount += 1
  }
  const meanMicro = margins.length === 0 ? 0 : Math.round((sum / margins.length) * MICRO)
  return { positions: margins.length, meanMicro, worstMicro: Math.round(worst * MICRO), outsideCount }
}

export function caughtOf(verdicts: readonly Verdict[]): Caught {
  const judged = verdicts.filter((verdict) => verdict !== 'abstain')
  const failed = judged.filter((verdict) => verdict === 'fail').length
  const suspect = judged.filter((verdict) => verdict === 'suspect').length
  const abstained = verdicts.length - judged.length
  return { caught: rateOf(failed + suspect, judged.length), failed: rateOf(failed, judged.length), abstained }
}

export function wholePower(table: PolicyTable, trials: readonly Trial[]): Caught {
  return caughtOf(trials.map((trial) => verdictOn(table, trial, trial.margins)))
}

/** Every stretch of `length` tokens, one after the other, of outputs that have as many. */
export function windowPower(table: PolicyTable, trials: readonly Trial[], length: number): Caught {
  return caughtOf(
    trials.flatMap((trial) => windowsOf(trial.margins, length).map((margins) => verdictOn(table, trial, margins))),
  )
}

export function windowsOf(margins: Margins, length: number): readonly Margins[] {
  const count = Math.floor(margins.length / length)
  return Array.from({ length: count }, (_, place) => margins.subarray(place * length, (place + 1) * length))
}

/**
 * Outputs drawn at random and put together until they have `length` tokens: what a worker's audits say together. One judgement over
 * them all, as if they were one output.
 *
 * @param trials  of one temperature and pair of engines, or the judgement is that of the first one drawn
 */
export function joinedPower(
  table: PolicyTable,
  trials: readonly Trial[],
  length: number,
  draws: number,
  prng: Prng,
): Caught {
  const filled = trials.filter(({ margins }) => margins.length > 0)
  if (filled.length === 0) return caughtOf([])
  const verdicts = Array.from({ length: draws }, () => {
    const joined = new Float32Array(length)
    const first = prng.pick(filled)
    for (let [trial, at] = [first, 0]; at < length; trial = prng.pick(filled)) {
      const part = trial.margins.subarray(0, length - at)
      joined.set(part, at)
      at += part.length
    }
    return verdictOn(table, first, joined)
  })
  return caughtOf(verdicts)
}

/** Share of honest and of dishonest means above each threshold, from the highest threshold down: a curve from (0, 0) to (1, 1). */
export function rocOf(
  honest: readonly number[],
  dishonest: readonly number[],
): readonly (readonly [falsePositive: number, truePositive: number])[] {
  const marks = [
    ...honest.map((score) => ({ score, isHonest: true })),
    ...dishonest.map((score) => ({ score, isHonest: false })),
  ].sort((a, b) => b.score - a.score)
  const points: [number, number][] = [[0, 0]]
  let [falsePositives, truePositives] = [0, 0]
  for (const [place, { score, isHonest }] of marks.entries()) {
    if (isHonest) falsePositives += 1
    else truePositives += 1
    // Equal scores fall on the same side of any threshold.
    if (marks[place + 1]?.score === score) continue
    points.push([falsePositives / Math.max(1, honest.length), truePositives / Math.max(1, dishonest.length)])
  }
  return points
}

/** Area under a curve of `rocOf`. */
export function areaUnder(points: readonly (readonly [number, number])[]): number {
  return points.slice(1).reduce((sum, [x, y], place) => {
    const [beforeX, beforeY] = points[place] ?? [0, 0]
    return sum + ((x - beforeX) * (y + beforeY)) / 2
  }, 0)
}
