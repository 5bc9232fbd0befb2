/**
 * Vectors as an embedding job commits to them: float32 words, one text after the other, in the place of token ids.
 *
 * Why so: every validator must find the same, to the bit. Products of two float32 are exact in a double, sums run in the order of the
 * words, and there is no root and no library call whose last bit is another machine's own.
 *
 * @see docs/PROTOCOL.md#commitments-reveals-and-findings
 */
import { invariant } from '../invariant.ts'

/** By precedence: the first that applies is the reason. */
export const VECTOR_FAULTS = ['vector_shape', 'vector_not_finite', 'vector_not_unit'] as const
export type VectorFault = (typeof VECTOR_FAULTS)[number]

/** Texts, and words of each vector. */
export type VectorShape = { readonly count: number; readonly dimensions: number }

/** Lengths from 0.999 to 1.001, squared. */
const NORM_SQUARED_MIN = 0.998001
const NORM_SQUARED_MAX = 1.002001
/** Two vectors mean the same when their cosine is at least 0.999, squared here. */
const COSINE_SQUARED_MIN = 0.998001

/** One word for each float, bit by bit. */
export function wordsOf(vectors: readonly Float32Array[]): Uint32Array {
  const floats = Float32Array.from(vectors.flatMap((vector) => [...vector]))
  return new Uint32Array(floats.buffer)
}

/** @param count  texts; the words are a multiple of it */
export function vectorsIn(words: Uint32Array, count: number): readonly Float32Array[] {
  invariant(count > 0 && words.length % count === 0, 'every text has as many words')
  const floats = floatsOf(words)
  const dimensions = words.length / count
  return Array.from({ length: count }, (_, text) => floats.slice(text * dimensions, (text + 1) * dimensions))
}

export function vectorFault(words: Uint32Array, { count, dimensions }: VectorShape): VectorFault | undefined {
  if (!Number.isInteger(dimensions) || dimensions < 1 || words.length !== count * dimensions) return 'vector_shape'
  const floats = floatsOf(words)
  if (!floats.every(Number.isFinite)) return 'vector_not_finite'
  for (let start = 0; start < floats.length; start += dimensions) {
    const squared = product(floats, floats, start, dimensions)
    if (squared < NORM_SQUARED_MIN || squared > NORM_SQUARED_MAX) return 'vector_not_unit'
  }
  return undefined
}

/** Whether every text's two vectors point the same way. */
export function isSameMeaning(a: Uint32Array, b: Uint32Array, { count, dimensions }: VectorShape): boolean {
  const [left, right] = [floatsOf(a), floatsOf(b)]
  for (let text = 0; text < count; text += 1) {
    const { dot, norms } = pairOf(left, right, text * dimensions, dimensions)
    if (dot <= 0 || dot * dot < COSINE_SQUARED_MIN * norms) return false
  }
  return true
}

/**
 * Counts with whom each replica agrees, itself included.
 *
 * @param outputs  words of each replica, undefined without a sound output
 */
export function agreements(outputs: readonly (Uint32Array | undefined)[], shape: VectorShape): readonly number[] {
  const counts = outputs.map((output): number => (output === undefined ? 0 : 1))
  for (const [one, left] of outputs.entries()) {
    for (const [step, right] of outputs.slice(one + 1).entries()) {
      if (left === undefined || right === undefined || !isSameMeaning(left, right, shape)) continue
      const other = one + 1 + step
      counts[one] = (counts[one] ?? 0) + 1
      counts[other] = (counts[other] ?? 0) + 1
    }
  }
  return counts
}

/**
 * Picks the candidate whose vectors lie closest to those of all candidates; ties go to the lowest index. A choice, never a judgement.
 *
 * @param outputs     words of every replica; of one that was stopped there are none, and it is close to nobody
 * @param candidates  indexes into `outputs`, at least one
 * @param count       texts
 */
export function vectorMedoid(outputs: readonly Uint32Array[], candidates: readonly number[], count: number): number {
  invariant(candidates.length > 0, 'a medoid has candidates')
  // A sum's last bit depends on its order, and whoever votes must choose as whoever proposes.
  const ordered = candidates.toSorted((a, b) => a - b)
  const floats = new Map(ordered.map((index) => [index, floatsOf(outputs[index] ?? new Uint32Array())]))
  // One is chosen whatever the words are: a lying quorum may call sound what is no vector.
  let best = Math.min(...candidates)
  let bestSum = Number.NEGATIVE_INFINITY
  for (const [index, own] of floats) {
    let sum = 0
    for (const other of ordered) sum += closeness(own, floats.get(other) ?? own, count)
    if (sum > bestSum) [best, bestSum] = [index, sum]
  }
  return best
}

/** Sum over the texts of the squared cosine with its sign: monotone in the angle, and needs no root. */
function closeness(left: Float32Array, right: Float32Array, count: number): number {
  if (left.length === 0 || left.length !== right.length) return 0
  const dimensions = left.length / count
  let sum = 0
  for (let text = 0; text < count; text += 1) {
    const { dot, norms } = pairOf(left, right, text * dimensions, dimensions)
    sum += (dot * Math.abs(dot)) / norms
  }
  return sum
}

type Pair = { readonly dot: number; readonly norms: number }

function pairOf(left: Float32Array, right: Float32Array, start: number, dimensions: number): Pair {
  const norms = product(left, left, start, dimensions) * product(right, right, start, dimensions)
  return { dot: product(left, right, start, dimensions), norms }
}

function product(left: Float32Array, right: Float32Array, start: number, dimensions: number): number {
  let sum = 0
  for (let at = start; at < start + dimensions; at += 1) sum += (left[at] ?? 0) * (right[at] ?? 0)
  return sum
}

/** The same bits read as floats, in the machine's own byte order on both sides. */
function floatsOf(words: Uint32Array): Float32Array {
  return new Float32Array(words.slice().buffer)
}
