/** Thresholds from the margins of honest outputs: tau1 from the tail of a block bootstrap over outputs, tau3 from the largest margin of all. */
import { type PolicyRow, TABLE_LENGTHS } from '../../core/verification/policy-table.ts'
import type { Prng } from '../simulation/prng.ts'

/** Margins of one output, nats, by position. */
export type Margins = Float32Array

export type FitOptions = { readonly draws: number; readonly prng: Prng }
export type HonestAudits = {
  /** One for each audit. */
  readonly margins: readonly Margins[]
  /** Outputs that were audited; two audits of one are not independent. */
  readonly outputs: number
  /** The largest margin of these engines at any temperature. */
  readonly worstNats: number
}

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

/** Where the tail of a distribution begins, and how likely a value is to be in it. */
const TAIL_SHARE = 0.1
/** One-sided 5 % of a normal distribution. */
const Z_HIGH = 1.645

/**
 * Goes on beyond what was seen: the value that a `share` of all lie above if the excesses over the 90 % quantile are exponential.
 *
 * Why: among a few hundred outputs there is none that one in ten thousand exceeds; their largest is exceeded by the next one in n + 1. Why
 * the upper bound of the mean excess: with few outputs in the tail it is often too small, and honest workers pay for that.
 *
 * @param sorted   lowest first, not empty
 * @param outputs  independent ones behind the values
 * @see            Pickands (1975), Statistical inference using extreme order statistics
 */
export function tailQuantile(sorted: ArrayLike<number>, share: number, outputs: number): number {
  const from = Math.min(sorted.length - 1, Math.floor(sorted.length * (1 - TAIL_SHARE)))
  const begin = sorted[from] ?? 0
  let excess = 0
  for (let place = from; place < sorted.length; place += 1) excess += (sorted[place] ?? 0) - begin
  const mean = excess / (sorted.length - from)
  const highMean = mean * (1 + Z_HIGH / Math.sqrt(Math.max(1, outputs * TAIL_SHARE)))
  return begin + highMean * Math.log(TAIL_SHARE / share)
}

export type Thresholds = Pick<PolicyRow, 'suspectMicro' | 'failMicro' | 'worstMicro' | 'honestAudits' | 'honestTokens'>

/**
 * Fits one row of a table.
 *
 * Why a floor: where honest margins are almost all 0, a quantile of their means is 0 too, and one near tie would make an output
 * suspect. So the largest honest margin alone never makes one.
 */
export function fitThresholds({ margins, outputs, worstNats }: HonestAudits, options: FitOptions): Thresholds {
  const filled = margins.filter(({ length }) => length > 0)
  const worst = filled.reduce((most, each) => each.reduce((a, b) => Math.max(a, b), most), worstNats)
  const worstMicro = Math.ceil(Math.max(WORST_NATS_MIN, WORST_FACTOR * worst) * MICRO)
  const means = TABLE_LENGTHS.map((length) => bootstrapMeans(filled, length, options))
  const above = (place: number, share: number): number => {
    const sorted = means[place] ?? new Float64Array()
    return Math.max(upperQuantile(sorted, share), tailQuantile(sorted, share, outputs))
  }
  const suspectMicro = TABLE_LENGTHS.map((length, place) =>
    Math.ceil(Math.max(above(place, SUSPECT_SHARE), worst / length) * MICRO),
  )
  const failMicro = TABLE_LENGTHS.map((_, place) =>
    Math.max(suspectMicro[place] ?? 0, Math.ceil(above(place, FAIL_SHARE) * MICRO)),
  )
  const honestTokens = filled.reduce((sum, { length }) => sum + length, 0)
  return { suspectMicro, failMicro, worstMicro, honestAudits: filled.length, honestTokens }
}
