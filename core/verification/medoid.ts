/** The output closest to all others: a choice, never a judgement. Integers only, so that every validator chooses alike. */
import { invariant } from '../invariant.ts'

type Ids = Uint32Array | readonly number[]

const PERMILLE = 1000

/**
 * Picks the candidate with the largest summed similarity to the other candidates; ties go to the lowest index.
 *
 * @param outputs     token ids of every replica
 * @param candidates  indexes into `outputs` that may be chosen and are compared, at least one
 */
export function medoidOf(outputs: readonly Ids[], candidates: readonly number[]): number {
  invariant(candidates.length > 0, 'a medoid has candidates')
  let best = -1
  let bestSum = -1
  for (const index of [...candidates].sort((a, b) => a - b)) {
    const own = outputs[index] ?? []
    const sum = candidates.reduce(
      (total, other) => (other === index ? total : total + similarity(own, outputs[other] ?? [])),
      0,
    )
    if (sum > bestSum) [best, bestSum] = [index, sum]
  }
  return best
}

/**
 * Scores two outputs from 0 to 2000: the common prefix in permille of the longer one plus the common multiset of tokens (Dice) in
 * permille, each rounded down. Two empty outputs score 2000.
 */
export function similarity(a: Ids, b: Ids): number {
  if (a.length === 0 && b.length === 0) return 2 * PERMILLE
  const prefix = Math.floor((PERMILLE * commonPrefix(a, b)) / Math.max(a.length, b.length))
  return prefix + Math.floor((2 * PERMILLE * commonTokens(a, b)) / (a.length + b.length))
}

function commonPrefix(a: Ids, b: Ids): number {
  const shorter = Math.min(a.length, b.length)
  let length = 0
  while (length < shorter && a[length] === b[length]) length++
  return length
}

function commonTokens(a: Ids, b: Ids): number {
  const counts = new Map<number, number>()
  for (const id of a) counts.set(id, (counts.get(id) ?? 0) + 1)
  let common = 0
  for (const id of b) {
    const left = counts.get(id) ?? 0
    if (left === 0) continue
    counts.set(id, left - 1)
    common++
  }
  return common
}
