/** Cheats that nobody has a file of: Gaussian noise on recorded logits, scaled to a Kullback-Leibler divergence that is known of one. */
import { chooseToken } from '../../core/verification/gumbel.ts'
import { marginOf } from '../../core/verification/margin.ts'
import type { Prng } from '../simulation/prng.ts'
import type { Margins } from './fit.ts'
import type { Claim } from './outputs.ts'

/** The best tokens of one position by the model that is meant, best first. */
export type Recorded = { readonly ids: Uint32Array; readonly logits: Float32Array }

const HALVINGS = 40
const SCALE_NATS_MAX = 64

/** KL(P || Q) in nats at temperature 1, over the listed tokens alone. */
export function divergence(p: ArrayLike<number>, q: ArrayLike<number>): number {
  const [ofP, ofQ] = [logProbabilities(p), logProbabilities(q)]
  return ofP.reduce((sum, log, place) => sum + Math.exp(log) * (log - (ofQ[place] ?? 0)), 0)
}

function logProbabilities(logits: ArrayLike<number>): readonly number[] {
  const all = Array.from(logits)
  const top = all.reduce((most, logit) => Math.max(most, logit), Number.NEGATIVE_INFINITY)
  const total = Math.log(all.reduce((sum, logit) => sum + Math.exp(logit - top), 0))
  return all.map((logit) => logit - top - total)
}

/** Mean divergence of noisy logits from clean ones; the same draws for every scale, so that it grows with the scale. */
function meanDivergence(clean: readonly Recorded[], draws: readonly Float64Array[], scale: number): number {
  const sum = clean.reduce(
    (total, { logits }, place) => total + divergence(logits, noisy(logits, draws[place] ?? new Float64Array(0), scale)),
    0,
  )
  return sum / clean.length
}

function noisy(logits: ArrayLike<number>, draws: ArrayLike<number>, scale: number): Float64Array {
  return Float64Array.from(logits, (logit, place) => logit + scale * (draws[place] ?? 0))
}

/**
 * Solves for the standard deviation of noise, in nats of logit, that moves the recorded positions by a mean divergence.
 *
 * @param target  nats, above 0
 * @returns       the scale by bisection; the largest one tried where even that moves them less
 */
export function noiseScaleFor(clean: readonly Recorded[], target: number, prng: Prng): number {
  const draws = clean.map(({ logits }) => Float64Array.from(logits, () => gaussian(prng)))
  let [low, high] = [0, SCALE_NATS_MAX]
  for (let halving = 0; halving < HALVINGS; halving += 1) {
    const middle = (low + high) / 2
    if (meanDivergence(clean, draws, middle) < target) low = middle
    else high = middle
  }
  return (low + high) / 2
}

/** Box and Muller (1958). */
export function gaussian(prng: Prng): number {
  const unit = (): number => (prng.next() + 0.5) / 2 ** 32
  return Math.sqrt(-2 * Math.log(unit())) * Math.cos(2 * Math.PI * unit())
}

/**
 * Margins that an auditor would find for a worker whose logits are noisy: it picks by its own, the auditor judges by the clean ones.
 * Every position is judged under the honest text before it, so that one pick does not change the next position.
 */
export function noisyMargins(
  clean: readonly Recorded[],
  { sampling, seed }: Pick<Claim, 'sampling' | 'seed'>,
  scale: number,
  prng: Prng,
): Margins {
  const { topK, temperatureMilli } = sampling
  const temperature = temperatureMilli / 1_000
  return Float32Array.from(clean, ({ ids, logits }, t) => {
    const moved = Float64Array.from(logits, (logit) => logit + scale * gaussian(prng))
    const picked = chooseToken(ids, moved, topK, temperature, seed, t)
    return marginOf(ids, logits, picked, topK, temperature, seed, t).margin
  })
}
