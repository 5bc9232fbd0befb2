/** Proof that a validator signed two digests for one subject: self-contained, and checkable by anyone who knows the set. */
import { concatBytes } from '../codec/bytes.ts'
import type { SwarmId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { accept, reject, type Validation } from '../validation.ts'
import type { ValidatorSet } from './validators.ts'
import { checkVote, decodeVote, encodeVote, subjectKey, VOTE_BYTES, type Vote } from './vote.ts'

/** `first` carries the smaller digest: one fault has one encoding, whoever reports it. */
export type Evidence = { readonly first: Vote; readonly second: Vote }

const EVIDENCE_VERSION = 1

/** @returns undefined when the two votes do not contradict each other */
export function evidenceOf(one: Vote, other: Vote): Evidence | undefined {
  const [a, b] = [one.statement, other.statement]
  if (one.voter !== other.voter || subjectKey(a) !== subjectKey(b) || a.digest === b.digest) return undefined
  return a.digest < b.digest ? { first: one, second: other } : { first: other, second: one }
}

export function encodeEvidence({ first, second }: Evidence): Uint8Array {
  invariant(first.statement.digest < second.statement.digest, 'evidence is in digest order')
  return concatBytes(Uint8Array.of(EVIDENCE_VERSION), encodeVote(first), encodeVote(second))
}

/** Reads and checks evidence: two votes that contradict each other, in order, both validly signed by one member of the set. */
export function checkEvidence(swarmId: SwarmId, set: ValidatorSet, bytes: Uint8Array): Validation<Evidence> {
  if (bytes.length < 1 + 2 * VOTE_BYTES) return reject('bytes_truncated')
  if (bytes[0] !== EVIDENCE_VERSION) return reject('version_unknown')
  const first = decodeVote(bytes.subarray(1, 1 + VOTE_BYTES))
  if (first.action !== 'accept') return first
  const second = decodeVote(bytes.subarray(1 + VOTE_BYTES))
  if (second.action !== 'accept') return second
  const evidence = evidenceOf(first.value, second.value)
  if (evidence === undefined) return reject('vote_subject_mismatch')
  if (evidence.first !== first.value) return reject('bytes_not_canonical')
  for (const vote of [evidence.first, evidence.second]) {
    const checked = checkVote(swarmId, set, vote)
    if (checked.action !== 'accept') return checked
  }
  return accept(evidence)
}
