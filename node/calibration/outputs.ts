/** What is generated and audited, and the ways in which a claim about it can be false: edits of real outputs, and other samplings. */
import { invariant } from '../../core/invariant.ts'
import type { SamplingSpec } from '../../models/backend.ts'
import type { Prng } from '../simulation/prng.ts'

export type Sampling = Extract<SamplingSpec, { kind: 'gumbel-v1' }>

export type Wish = {
  readonly promptIds: Uint32Array
  readonly sampling: Sampling
  /** 32 bytes. */
  readonly seed: Uint8Array
  readonly maxTokens: number
}

/** An output with what it is said to have been made by. */
export type Claim = Omit<Wish, 'maxTokens'> & { readonly outputIds: Uint32Array }

export const TEMPERATURES_MILLI = [0, 700, 1_000] as const
export const TOP_K = 40

/** The beginning of a list of ids. */
export function shortened(ids: Uint32Array, lengthMax: number): Uint32Array {
  return ids.length <= lengthMax ? ids : ids.slice(0, lengthMax)
}

/** How a wish is run by somebody who does not do as it says; the claim is made for the wish. */
export type Twist = (wish: Wish) => Wish

const HOTTER_MILLI = 100
const TOP_K_CHEAT = 5

/** By name; each is a way to run another job than the one that was wished for. */
export const TWISTS: Readonly<Record<string, Twist>> = {
  'temperature + 0.1': (wish) => sampled(wish, { temperatureMilli: wish.sampling.temperatureMilli + HOTTER_MILLI }),
  'best token only': (wish) => sampled(wish, { temperatureMilli: 0 }),
  'topK 5': (wish) => sampled(wish, { topK: TOP_K_CHEAT }),
  'seed + 1': (wish) => ({ ...wish, seed: seedAfter(wish.seed) }),
  'another prompt': (wish) => ({ ...wish, promptIds: reversed(wish.promptIds) }),
}

function sampled(wish: Wish, parts: Partial<Sampling>): Wish {
  return { ...wish, sampling: { ...wish.sampling, ...parts } }
}

function seedAfter(seed: Uint8Array): Uint8Array {
  const next = Uint8Array.from(seed)
  next[0] = ((next[0] ?? 0) + 1) & 0xff
  return next
}

/** The first id stays: it begins every prompt of most models. */
function reversed(ids: Uint32Array): Uint32Array {
  return Uint32Array.from([...ids.subarray(0, 1), ...ids.subarray(1).toReversed()])
}

/** An edit of an output. @returns undefined for an output that is too short for it */
export type Edit = (outputIds: Uint32Array, stopIds: readonly number[], prng: Prng) => Uint32Array | undefined

/** Places of an edit: neither the first nor the last fifth. */
const MARGIN_SHARE = 0.2
const EDITED_TOKENS_MIN = 8

function middlePlace(length: number, prng: Prng): number {
  const from = Math.floor(length * MARGIN_SHARE)
  return from + prng.below(Math.max(1, length - 2 * from))
}

/** Another token of the same output in a place near the middle: a word that the model writes, where it did not write it. */
function editOne(outputIds: Uint32Array, _stopIds: readonly number[], prng: Prng): Uint32Array | undefined {
  if (outputIds.length < EDITED_TOKENS_MIN) return undefined
  const at = middlePlace(outputIds.length, prng)
  const others = [...new Set(outputIds)].filter((id) => id !== outputIds[at] && id !== outputIds.at(-1))
  if (others.length === 0) return undefined
  return outputIds.with(at, prng.pick(others))
}

/** Ends where the model would have gone on. */
function stopEarly(outputIds: Uint32Array, stopIds: readonly number[], prng: Prng): Uint32Array | undefined {
  const [stopId] = stopIds
  if (outputIds.length < EDITED_TOKENS_MIN || stopId === undefined) return undefined
  const at = middlePlace(outputIds.length, prng)
  invariant(at > 0, 'something is left')
  return Uint32Array.from([...outputIds.subarray(0, at), stopId])
}

export const EDITS: Readonly<Record<string, Edit>> = { 'one token': editOne, 'early stop': stopEarly }
