/** Thresholds from the margins of honest outputs: tau1 by block bootstrap over outputs, tau3 from the largest margin of all. */
import { type PolicyRow, TABLE_LENGTHS } from '../../core/verification/policy-table.ts'
import type { Prng } from '../simulation/prng.ts'

/** Margins of one output, nats, by position. */
export type Margins = Float32Array

export type FitOptions = { readonly draws: number; readonly prng: Prng }

/** Of the statistic S1: what a single position may add. */
const CLIP_NATS = 3
export const SUSPECT_SHARE = 1e-3
export const FAIL_SHARE = 1e-4
const WORST_FACTOR = 1.5
const WORST_NATS_MIN = 0.5
const MICRO = 1e6

/**
 * Draws means of `length` margins as an honest worker would have them, lowest first.
 *
 * Why blocks: margins of one output depend on each other (a hard passage has several), so whole stretches are drawn: an output, and a
 * place in it, then as many positions from there on as it has, until there are enough.
 *
 * @param outputs  none of them empty, at least one
 * @see            Künsch (1989), The jackknife and the bootstrap for general stationary observations
 */
export function bootstrapMeans(outputs: readonly Margins[], length: number, { draws, prng }: FitOptions): Float64Array {
  const sums = outputs.map(runningSums)
  const means = new Float64Array(draws)
  for (let draw = 0; draw < draws; draw += 1) {
    let [total, taken] = [0, 0]
    while (taken < length) {
      const running = prng.pick(sums)
      const size = running.length - 1
      const wanted = Math.min(size, length - taken)
      const from = prng.below(size - wanted + 1)
      total += (running[from + wanted] ?? 0) - (running[from] ?? 0)
      taken += wanted
    }
    means[draw] = total / length
  }
  return means.sort()
}

/** Sum of the clipped margins before each position, and of all. */
function runningSums(margins: Margins): Float64Array {
  const sums = new Float64Array(margins.length + 1)
  for (const [place, margin] of margins.entries()) sums[place + 1] = (sums[place] ?? 0) + Math.min(margin, CLIP_NATS)
  return sums
}

/** The value that a `share` of all lie above. @param sorted  lowest first */
export function upperQuantile(sorted: ArrayLike<number>, share: number): number {
  const place = Math.ceil(sorted.length * (1 - share)) - 1
  return sorted[Math.min(sorted.length - 1, Math.max(0, place))] ?? 0
}

export type Thresholds = Pick<PolicyRow, 'suspectMicro' | 'failMicro' | 'worstMicro' | 'honestAudits' | 'honestTokens'>

/**
 * Fits one row of a table.
 *
 * Why a floor: where honest margins are almost all 0, a quantile of their means is 0 too, and one near tie would make an output
 * suspect. So the largest honest margin alone never makes one.
 *
 * @param outputs  margins of honest outputs, one for each audit
 */
export function fitThresholds(outputs: readonly Margins[], options: FitOptions): Thresholds {
  const filled = outputs.filter(({ length }) => length > 0)
  const worst = filled.reduce((most, margins) => margins.reduce((a, b) => Math.max(a, b), most), 0)
  const worstMicro = Math.ceil(Math.max(WORST_NATS_MIN, WORST_FACTOR * worst) * MICRO)
  const means = TABLE_LENGTHS.map((length) => bootstrapMeans(filled, length, options))
  const suspectMicro = TABLE_LENGTHS.map((length, place) =>
    Math.ceil(Math.max(upperQuantile(means[place] ?? [], SUSPECT_SHARE), worst / length) * MICRO),
  )
  const failMicro = TABLE_LENGTHS.map((_, place) =>
    Math.max(suspectMicro[place] ?? 0, Math.ceil(upperQuantile(means[place] ?? [], FAIL_SHARE) * MICRO)),
  )
  const honestTokens = filled.reduce((sum, { length }) => sum + length, 0)
  return { suspectMicro, failMicro, worstMicro, honestAudits: filled.length, honestTokens }
}
