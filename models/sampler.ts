/**
 * The sampler of kind `llama`: the parameters that callers of llama.cpp and of the OpenAI API know, computed here.
 *
 * Why not by the engine's own chain: there a penalty counts the prompt too, and what it divides, in which order, differs between
 * versions. Here each parameter does what its name says, the candidates stay at hand for log-probabilities, and a seed gives one
 * answer whatever the engine. It works on the model's 64 best tokens; a larger top-k is as if it were 64.
 *
 * Order: penalties on the logits, temperature, softmax, top-k, top-p, min-p, the draw.
 *
 * @see OpenAI API reference, frequency and presence penalties; top-p: Holtzman et al. 2020; min-p: Nguyen et al. 2024
 */
import { u32be } from '../core/codec/bytes.ts'
import { domainHash } from '../core/codec/hash.ts'
import { invariant } from '../core/invariant.ts'
import type { SamplingSpec } from './backend.ts'
import type { Candidates } from './run.ts'

export type LlamaSampling = Extract<SamplingSpec, { kind: 'llama' }>
/** What one step may draw; best first, probabilities sum to 1. */
export type Chance = { readonly id: number; readonly probability: number }

const TWO_POW_21 = 2 ** 21
const TWO_POW_53 = 2 ** 53

/**
 * Draws one token.
 *
 * @param counts    how often each id is in the output so far; the prompt does not count
 * @param position  0-based output position: each has a number of its own, so none depends on what was drawn before
 */
export function sampleToken(
  found: Candidates,
  sampling: LlamaSampling,
  counts: ReadonlyMap<number, number>,
  position: number,
): number {
  const chances = chancesOf(found, sampling, counts)
  const drawn = uniform(sampling.seed, position)
  let sum = 0
  const hit = chances.find(({ probability }) => {
    sum += probability
    return drawn < sum
  })
  // Rounding may leave the sum a hair below 1.
  const chosen = hit ?? chances.at(-1)
  invariant(chosen !== undefined, 'a step has at least one candidate')
  return chosen.id
}

/** The distribution that a step draws from; ties keep the lower id first. */
export function chancesOf(
  found: Candidates,
  sampling: LlamaSampling,
  counts: ReadonlyMap<number, number>,
): readonly Chance[] {
  const { temperature, topK, topP, minP } = sampling
  const scored = penalised(found, sampling, counts)
  const [best] = scored
  if (best === undefined || temperature === 0) return best === undefined ? [] : [{ id: best.id, probability: 1 }]
  const kept = topK === 0 ? scored : scored.slice(0, topK)
  const weighted = kept.map(({ id, logit }) => ({
    id,
    probability: logit === best.logit ? 1 : Math.exp((logit - best.logit) / temperature),
  }))
  const nucleus = nucleusOf(normalised(weighted), topP)
  const floor = minP * (nucleus[0]?.probability ?? 0)
  return normalised(nucleus.filter(({ probability }) => probability >= floor))
}

/** logit - count * frequencyPenalty - (count > 0) * presencePenalty, best first. */
function penalised(
  { ids, logits }: Candidates,
  { frequencyPenalty, presencePenalty }: LlamaSampling,
  counts: ReadonlyMap<number, number>,
): { readonly id: number; readonly logit: number }[] {
  const scored = ids.map((id, place) => {
    const count = counts.get(id) ?? 0
    const penalty = count === 0 ? 0 : count * frequencyPenalty + presencePenalty
    return { id, logit: (logits[place] ?? Number.NaN) - penalty }
  })
  return scored
    .filter(({ logit }) => !Number.isNaN(logit))
    .sort((a, b) => (a.logit === b.logit ? a.id - b.id : a.logit > b.logit ? -1 : 1))
}

/** The shortest list of best tokens that holds `topP` of the probability: at least one. */
function nucleusOf(chances: readonly Chance[], topP: number): readonly Chance[] {
  let sum = 0
  const last = chances.findIndex(({ probability }) => {
    sum += probability
    return sum >= topP
  })
  return topP >= 1 || last < 0 ? chances : chances.slice(0, last + 1)
}

function normalised(chances: readonly Chance[]): readonly Chance[] {
  const total = chances.reduce((sum, { probability }) => sum + probability, 0)
  return chances.map(({ id, probability }) => ({ id, probability: probability / total }))
}

/** A number in [0, 1) of 53 bits from seed and position alone. */
export function uniform(seed: number, position: number): number {
  const [a = 0, b = 0] = wordsOf(domainHash('sampler', u32be(seed), u32be(position)))
  return (a * TWO_POW_21 + (b >>> 11)) / TWO_POW_53
}

function wordsOf(bytes: Uint8Array): readonly number[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return [view.getUint32(0), view.getUint32(4)]
}
