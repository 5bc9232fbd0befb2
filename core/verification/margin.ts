/** The score of a teacher-forced audit: by how much a claimed token loses under the job's own seed. */
import { positionScorer, topPlaces } from './gumbel.ts'

/**
 * A claimed token below the top-k is tolerated when its logit is this close to the last one inside; one above that is as close to the
 * first one outside is no bound for it.
 */
export const EDGE_TOLERANCE_NATS = 0.25
/** What a token that could not have been picked costs; also the largest margin. */
export const OUTSIDE_MARGIN_NATS = 8
/** The rank of a token that is not among the verifier's candidates. */
export const RANK_UNLISTED = 64

export type Margin = {
  /** Nats, 0 when the verifier picks the same token, at most OUTSIDE_MARGIN_NATS. */
  readonly margin: number
  /** 0-based rank of the claimed token by logit, or RANK_UNLISTED. */
  readonly rank: number
  /** True when the claimed token is below the top-k by more than the tolerance. */
  readonly outside: boolean
}

/**
 * Compares a claimed token with the verifier's own candidates at one position.
 *
 * Why an edge rule: two honest machines order near-equal logits differently, so a token may be just inside one's top-k and just
 * outside the other's. Hence the verifier looks at 64 candidates while a job's topK is at most 40: a claimed token just below the edge is
 * tolerated, and one just above it is no better choice, for the prover may not have had it. At T = 0 nothing at the edge is picked.
 *
 * @param topIds, topLogits  the verifier's candidates in any order, more than topK of them
 * @param temperature        temperatureMilli / 1000
 * @see                      docs/PROTOCOL.md#gumbel-v1
 */
export function marginOf(
  topIds: ArrayLike<number>,
  topLogits: ArrayLike<number>,
  claimed: number,
  topK: number,
  temperature: number,
  seed: Uint8Array,
  t: number,
): Margin {
  const places = topPlaces(topIds, topLogits, topIds.length)
  const at = places.findIndex((place) => topIds[place] === claimed)
  const logit = (rank: number): number => topLogits[places[rank] ?? -1] ?? Number.NEGATIVE_INFINITY
  const kth = logit(Math.min(topK, places.length) - 1)
  if (at < 0 || at >= RANK_UNLISTED) return { margin: OUTSIDE_MARGIN_NATS, rank: RANK_UNLISTED, outside: true }
  if (at >= topK && logit(at) < kth - EDGE_TOLERANCE_NATS)
    return { margin: OUTSIDE_MARGIN_NATS, rank: at, outside: true }
  const score = positionScorer(seed, t, temperature)
  const hasEdge = temperature > 0 && places.length > topK
  const sure = hasEdge ? logit(topK) + EDGE_TOLERANCE_NATS : Number.NEGATIVE_INFINITY
  const best = places
    .slice(0, topK)
    .filter((_, rank) => !hasEdge || logit(rank) > sure)
    .reduce((most, place, rank) => Math.max(most, score(topIds[place] ?? -1, logit(rank))), -Infinity)
  const lost = best - score(claimed, logit(at))
  return { margin: Math.min(OUTSIDE_MARGIN_NATS, Math.max(0, lost)), rank: at, outside: false }
}
