/** Two statements that one peer signed and that cannot both stand, or two reports that cannot both come from one model. */
import { equalBytes } from '../codec/bytes.ts'
import type { BodyCodec } from '../codec/schema.ts'
import { type Opened, openAs } from '../identity/envelope.ts'
import type { PeerId } from '../ids.ts'
import { chunkCodec } from '../latency/chain.ts'
import type { LogState } from '../log/state.ts'
import { evidenceOf } from '../quorum/evidence.ts'
import { checkVote, decodeVote } from '../quorum/vote.ts'
import { accept, reject, type Validation } from '../validation.ts'
import { auditCodec, probesAgree } from '../verification/audit.ts'
import { commitmentCodec } from '../verification/commitment.ts'
import type { EvidenceFile } from './evidence-file.ts'

/** Who is shown to have lied; of two auditors that contradict each other it is one of both, and the model says which. */
export type Contradiction = { readonly signers: readonly PeerId[]; readonly what: string }

/** Checks both signatures and that the statements are about one thing and say two. */
export function checkContradiction(
  state: LogState,
  { kind, one, other }: EvidenceFile['contradiction'],
): Validation<Contradiction> {
  switch (kind) {
    case 'commitment':
      return pairOf(state, commitmentCodec, one, other, (a) => `${a.jobId}/${a.attempt}/${a.replica}`)
    case 'chunk':
      return pairOf(state, chunkCodec, one, other, (a) => `${a.jobId}/${a.attempt}/${a.replica}/${a.index}`)
    case 'vote':
      return votesOf(state, one, other)
    case 'audit':
      return reportsOf(state, one, other)
    case 'none':
      return reject('body_malformed', 'contradiction.kind')
  }
}

function pairOf<T>(
  { swarmId }: LogState,
  codec: BodyCodec<T>,
  one: Uint8Array,
  other: Uint8Array,
  aboutOf: (value: T) => string,
): Validation<Contradiction> {
  const both = bothOf(codec, one, other, swarmId)
  if (both.action !== 'accept') return both
  const [first, second] = both.value
  if (first.signer !== second.signer) return reject('signer_mismatch', 'contradiction')
  const about = aboutOf(first.value)
  if (about !== aboutOf(second.value) || equalBytes(first.body, second.body))
    return reject('vote_subject_mismatch', 'contradiction')
  return accept({ signers: [first.signer], what: `signed two of ${codec.type} ${about}` })
}

function bothOf<T>(
  codec: BodyCodec<T>,
  one: Uint8Array,
  other: Uint8Array,
  swarmId: LogState['swarmId'],
): Validation<readonly [Opened<T>, Opened<T>]> {
  const first = openAs(codec, one, swarmId)
  if (first.action !== 'accept') return first
  const second = openAs(codec, other, swarmId)
  return second.action === 'accept' ? accept([first.value, second.value]) : second
}

function votesOf(state: LogState, one: Uint8Array, other: Uint8Array): Validation<Contradiction> {
  const first = decodeVote(one)
  if (first.action !== 'accept') return first
  const second = decodeVote(other)
  if (second.action !== 'accept') return second
  if (evidenceOf(first.value, second.value) === undefined) return reject('vote_subject_mismatch', 'contradiction')
  for (const vote of [first.value, second.value]) {
    const checked = checkVote(state.swarmId, state.validators, vote)
    if (checked.action !== 'accept') return checked
  }
  const { voter, statement } = first.value
  return accept({ signers: [voter], what: `signed two digests of ${statement.kind} ${statement.subject}` })
}

function reportsOf({ swarmId }: LogState, one: Uint8Array, other: Uint8Array): Validation<Contradiction> {
  const both = bothOf(auditCodec, one, other, swarmId)
  if (both.action !== 'accept') return both
  const [first, second] = both.value
  const same = first.value.commitmentHash === second.value.commitmentHash && first.value.jobId === second.value.jobId
  if (first.signer === second.signer) return reject('signer_mismatch', 'contradiction')
  if (!same || probesAgree(first.value.probes, second.value.probes))
    return reject('vote_subject_mismatch', 'contradiction')
  const what = 'show logits of one output that are not of one model: the model itself says which of the two lied'
  return accept({ signers: [first.signer, second.signer], what })
}
