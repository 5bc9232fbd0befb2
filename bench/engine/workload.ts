/** What everybody is asked to do: prompts, sampling, and how the speed of several streams is told. */
import type { SamplingSpec } from '../../models/backend.ts'

/** Sequences that generate at once. */
export type Order = { readonly sequences: number; readonly promptTokens: number; readonly tokens: number }

export const GUMBEL: SamplingSpec = { kind: 'gumbel-v1', temperatureMilli: 800, topK: 40 }
/** The cheapest choice that there is: the best token. */
export const GREEDY: SamplingSpec = {
  ...{ kind: 'llama', temperature: 0, topK: 0, topP: 1, minP: 0 },
  ...{ frequencyPenalty: 0, presencePenalty: 0, seed: 1 },
}

/** Below it, a vocabulary has its control tokens and single bytes. */
const SPECIAL_MAX = 300

/** Ids at random, others for each `salt`, none of which is special. */
export function idsOf(vocabSize: number, tokens: number, salt: number): Uint32Array {
  const hash = (place: number): number => Math.imul(place + 1 + salt * 65_537, 0x9e37_79b1) >>> 0
  return Uint32Array.from({ length: tokens }, (_, place) => SPECIAL_MAX + (hash(place) % (vocabSize - SPECIAL_MAX)))
}

/**
 * @param all  when each token of each sequence came, milliseconds
 * @returns    tokens per second of all together, from when the last one has begun until the first one ends: no prompt is read meanwhile
 */
export function speedTogether(all: readonly (readonly number[])[]): number {
  const from = Math.max(...all.map((times) => times[0] ?? 0))
  const to = Math.min(...all.map((times) => times.at(-1) ?? 0))
  const within = all.map((times) => times.filter((time) => time > from && time <= to).length)
  return (within.reduce((sum, count) => sum + count, 0) * 1_000) / (to - from)
}
