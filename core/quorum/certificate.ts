/**
 * A quorum certificate: exactly Q signatures of one validator set under one statement.
 *
 * Why exactly Q: one more changes nothing, could be stripped by anyone who relays it, and thirteen would not fit a log entry.
 *
 * @see docs/PROTOCOL.md#votes-and-certificates
 */
import { concatBytes } from '../codec/bytes.ts'
import { verifyOnce } from '../identity/signatures.ts'
import { keyOf, type PeerId, type SwarmId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { accept, reject, type Validation } from '../validation.ts'
import type { ValidatorSet } from './validators.ts'
import { type CheckedVote, type Statement, statementBytes, subjectKey } from './vote.ts'

/** What travels and is stored: bit i stands for the set's key i, 64 bytes a signature in that order. The statement comes from context. */
export type CompactCertificate = { readonly bitmap: number; readonly signatures: Uint8Array }

export type Certificate = {
  readonly statement: Statement
  readonly bitmap: number
  /** In validator order. */
  readonly signatures: readonly Uint8Array[]
}

const SIGNATURE_BYTES = 64

/** Lists the keys that a bitmap names, in validator order. */
export function votersOf(set: ValidatorSet, bitmap: number): readonly PeerId[] {
  return set.keys.filter((_, index) => (bitmap & (1 << index)) !== 0)
}

export function compactOf({ bitmap, signatures }: Certificate): CompactCertificate {
  return { bitmap, signatures: concatBytes(...signatures) }
}

/**
 * Makes the certificate out of a quorum of checked votes on one statement: the first Q voters in validator order.
 *
 * @param votes  at least Q, of different members of the set
 */
export function certify(set: ValidatorSet, votes: readonly CheckedVote[]): Certificate {
  const byVoter = new Map(votes.map((vote) => [vote.voter, vote]))
  const signers = set.keys
    .flatMap((key, place) => {
      const vote = byVoter.get(key)
      return vote === undefined ? [] : [{ place, vote }]
    })
    .slice(0, set.quorum)
  const statement = signers[0]?.vote.statement
  invariant(statement !== undefined && signers.length === set.quorum, 'a certificate has a quorum')
  invariant(
    signers.every(({ vote }) => sameStatement(vote.statement, statement)),
    'a certificate has one statement',
  )
  const bitmap = signers.reduce((bits, { place }) => bits | (1 << place), 0)
  return { statement, bitmap, signatures: signers.map(({ vote }) => vote.signature) }
}

/**
 * Checks a certificate against the statement that the reader expects and the set that it trusts. Keys come from the set, never
 * from the certificate.
 *
 * @param excluded  validators that may not sign this statement, such as the owner of the replica that a finding is about
 */
export function checkCertificate(
  swarmId: SwarmId,
  set: ValidatorSet,
  statement: Statement,
  compact: CompactCertificate,
  excluded: readonly PeerId[] = [],
): Validation<Certificate> {
  const { bitmap, signatures } = compact
  if (statement.setHash !== set.hash || statement.epoch !== set.epoch) return reject('vote_subject_mismatch', 'setHash')
  if (!Number.isInteger(bitmap) || bitmap < 0 || bitmap >= 2 ** set.keys.length)
    return reject('voter_not_in_set', 'bitmap')
  const voters = votersOf(set, bitmap)
  if (voters.some((voter) => excluded.includes(voter))) return reject('voter_excluded', 'bitmap')
  if (signatures.length !== voters.length * SIGNATURE_BYTES) return reject('signature_malformed', 'signatures')
  if (voters.length < set.quorum) return reject('certificate_without_quorum', 'bitmap')
  if (voters.length > set.quorum) return reject('certificate_not_minimal', 'bitmap')
  const split = voters.map((_, place) => signatures.slice(place * SIGNATURE_BYTES, (place + 1) * SIGNATURE_BYTES))
  const message = statementBytes(swarmId, statement)
  const forged = voters.findIndex(
    (voter, place) => !verifyOnce(keyOf(voter), message, split[place] ?? new Uint8Array()),
  )
  if (forged >= 0) return reject('signature_invalid', `signatures[${forged}]`)
  return accept({ statement, bitmap, signatures: split })
}

function sameStatement(a: Statement, b: Statement): boolean {
  return a.digest === b.digest && subjectKey(a) === subjectKey(b)
}
