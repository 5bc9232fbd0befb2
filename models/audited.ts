/**
 * Positions of an audit as they travel from the compute host: columns of numbers, which cost a copy, in place of a list of lists, whose
 * numbers are written and read one by one.
 */
import { invariant } from '../core/invariant.ts'
import type { AuditPosition } from './backend.ts'

/** `counts` says how many of `ids` and `logits` are each position's. */
export type AuditColumns = {
  readonly margins: Float64Array
  readonly ranks: Int32Array
  readonly counts: Int32Array
  readonly ids: Int32Array
  readonly logits: Float32Array
}

/** @param positions  with logits that are floats of 32 bits, as llama.cpp gives them */
export function columnsOf(positions: readonly AuditPosition[]): AuditColumns {
  return {
    margins: Float64Array.from(positions, ({ margin }) => margin),
    ranks: Int32Array.from(positions, ({ rank }) => rank),
    counts: Int32Array.from(positions, ({ topIds }) => topIds.length),
    ids: Int32Array.from(positions.flatMap(({ topIds }) => Array.from(topIds))),
    logits: Float32Array.from(positions.flatMap(({ topLogits }) => Array.from(topLogits))),
  }
}

/** @returns nothing for an audit that was given up; the candidates are views of the columns */
export function positionsOf({ margins, ranks, counts, ids, logits }: AuditColumns): readonly AuditPosition[] {
  let at = 0
  return Array.from(counts, (count, index) => {
    const from = at
    at += count
    const [margin, rank] = [margins[index], ranks[index]]
    invariant(margin !== undefined && rank !== undefined, 'every position has a margin and a rank')
    return { margin, rank, topIds: ids.subarray(from, at), topLogits: logits.subarray(from, at) }
  })
}
