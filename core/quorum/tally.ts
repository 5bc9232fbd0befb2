/** Counts the votes on one topic until a quorum agrees on one digest. Pure: a tally is a value, each vote gives the next one. */
import type { Digest, PeerId } from '../ids.ts'
import { accept, ignore, reject, type Validation } from '../validation.ts'
import { type Certificate, certify } from './certificate.ts'
import { type Evidence, evidenceOf } from './evidence.ts'
import type { ValidatorSet } from './validators.ts'
import { type CheckedVote, subjectKey, type Topic } from './vote.ts'

export type Tally = {
  readonly set: ValidatorSet
  readonly topic: Topic
  /** Members that may not vote on this topic: a replica's owner abstains on it. */
  readonly excluded: readonly PeerId[]
  /** The first vote of each voter; a second, different one is evidence and changes nothing here. */
  readonly votes: ReadonlyMap<PeerId, CheckedVote>
}

export type Tallied = {
  readonly tally: Tally
  readonly validation: Validation<CheckedVote>
  /** Set when the voter had signed another digest before. */
  readonly evidence?: Evidence
}

export function createTally(set: ValidatorSet, topic: Topic, excluded: readonly PeerId[] = []): Tally {
  return { set, topic, excluded, votes: new Map() }
}

/**
 * Counts a vote.
 *
 * Why an equivocator's first vote stays counted: its other vote may count elsewhere, and a quorum is large enough to bear up to f
 * such voters; taking it out here would only make the outcome depend on who heard what first.
 *
 * @param vote  checked by `checkVote` against the same set
 */
export function addVote(tally: Tally, vote: CheckedVote): Tallied {
  if (subjectKey(vote.statement) !== subjectKey(tally.topic))
    return { tally, validation: reject('vote_subject_mismatch') }
  if (vote.statement.setHash !== tally.set.hash)
    return { tally, validation: reject('vote_subject_mismatch', 'setHash') }
  if (!tally.set.keys.includes(vote.voter)) return { tally, validation: reject('voter_not_in_set') }
  if (tally.excluded.includes(vote.voter)) return { tally, validation: reject('voter_excluded') }
  const earlier = tally.votes.get(vote.voter)
  if (earlier === undefined) {
    return { tally: { ...tally, votes: new Map(tally.votes).set(vote.voter, vote) }, validation: accept(vote) }
  }
  const evidence = evidenceOf(earlier, vote)
  if (evidence === undefined) return { tally, validation: ignore('already_seen') }
  return { tally, validation: reject('vote_equivocation'), evidence }
}

/** @returns the certificate once Q voters agree on a digest */
export function result(tally: Tally): { readonly certificate: Certificate } | undefined {
  const byDigest = new Map<Digest, CheckedVote[]>()
  for (const vote of tally.votes.values()) {
    const { digest } = vote.statement
    byDigest.set(digest, [...(byDigest.get(digest) ?? []), vote])
  }
  // Two digests with a quorum need a quorum below a majority; sorted, so that even then everybody who sees the same votes says the same.
  for (const [, votes] of [...byDigest].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (votes.length >= tally.set.quorum) return { certificate: certify(tally.set, votes) }
  }
  return undefined
}
