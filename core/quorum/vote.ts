/**
 * One validator's signed word on one digest. Votes are fixed-layout binary: no codec choice can change what was signed.
 *
 * @see docs/PROTOCOL.md#votes-and-certificates
 */
import { concatBytes, u16be, u32be, u64be, utf8 } from '../codec/bytes.ts'
import type { KeyPair } from '../identity/keys.ts'
import { signOnce, verifyOnce } from '../identity/signatures.ts'
import { type Digest, digestBytes, digestOf, keyOf, type PeerId, peerIdOf, type SwarmId } from '../ids.ts'
import { accept, reject, type Validation } from '../validation.ts'
import type { ValidatorSet } from './validators.ts'

/** In code order, from 1: the place is part of the signed bytes and never changes. */
export const VOTE_KINDS = [
  'assignment',
  'finding',
  'settlement',
  'correction',
  'roster',
  'beacon',
  'validator-set',
  'snapshot',
  'commit-set',
] as const
export type VoteKind = (typeof VOTE_KINDS)[number]

/** What a vote is about, without what it says. */
export type Topic = {
  readonly kind: VoteKind
  readonly epoch: bigint
  /** Hash of the validator set that may vote. */
  readonly setHash: Digest
  /** The job, or the digest that names the thing voted on. */
  readonly subject: Digest
  readonly attempt: number
  /** Replica index, 0 where there is none. */
  readonly index: number
}
export type Statement = Topic & { readonly digest: Digest }

export type Vote = { readonly voter: PeerId; readonly statement: Statement; readonly signature: Uint8Array }
/** A vote whose voter, set and signature have been checked: only such a vote can be counted. */
export type CheckedVote = Vote & { readonly brand: 'CheckedVote' }

const VOTE_DOMAIN = utf8('cfab/vote/v1\0')
const SIGNATURE_BYTES = 64
const VOTE_VERSION = 1
/** kind 1, epoch 8, set hash 32, subject 32, attempt 4, index 2, digest 32. */
const STATEMENT_BYTES = 111
/** version 1, voter 32, statement, signature. */
export const VOTE_BYTES = 33 + STATEMENT_BYTES + SIGNATURE_BYTES

/** Gives the 156 bytes that a voter signs. */
export function statementBytes(swarmId: SwarmId, statement: Statement): Uint8Array {
  return concatBytes(VOTE_DOMAIN, digestBytes(swarmId), layout(statement))
}

function layout({ kind, epoch, setHash, subject, attempt, index, digest }: Statement): Uint8Array {
  const code = Uint8Array.of(VOTE_KINDS.indexOf(kind) + 1)
  return concatBytes(
    code,
    u64be(epoch),
    digestBytes(setHash),
    digestBytes(subject),
    u32be(attempt),
    u16be(index),
    digestBytes(digest),
  )
}

/** Names everything but the digest: a validator signs one digest for one key, ever; two are equivocation. */
export function subjectKey({ kind, epoch, setHash, subject, attempt, index }: Topic): string {
  return `${kind}/${epoch}/${setHash}/${subject}/${attempt}/${index}`
}

/** Signs a statement. The caller stores the vote on disk before it leaves the process. */
export function castVote(swarmId: SwarmId, statement: Statement, key: KeyPair): CheckedVote {
  return checked({ voter: key.peer, statement, signature: signOnce(key.seed, statementBytes(swarmId, statement)) })
}

/** Checks set, membership and signature, cheapest first. */
export function checkVote(swarmId: SwarmId, set: ValidatorSet, vote: Vote): Validation<CheckedVote> {
  const { voter, statement, signature } = vote
  if (statement.setHash !== set.hash || statement.epoch !== set.epoch) return reject('vote_subject_mismatch', 'setHash')
  if (!set.keys.includes(voter)) return reject('voter_not_in_set')
  if (signature.length !== SIGNATURE_BYTES) return reject('signature_malformed')
  return verifyOnce(keyOf(voter), statementBytes(swarmId, statement), signature)
    ? accept(checked(vote))
    : reject('signature_invalid')
}

function checked(vote: Vote): CheckedVote {
  return vote as CheckedVote
}

export function encodeVote({ voter, statement, signature }: Vote): Uint8Array {
  return concatBytes(Uint8Array.of(VOTE_VERSION), keyOf(voter), layout(statement), signature)
}

/** Reads a vote; nothing about it is checked yet but its shape. Copies, so that the sender's buffer may be reused. */
export function decodeVote(bytes: Uint8Array): Validation<Vote> {
  if (bytes.length < VOTE_BYTES) return reject('bytes_truncated')
  if (bytes.length > VOTE_BYTES) return reject('bytes_trailing')
  if (bytes[0] !== VOTE_VERSION) return reject('version_unknown')
  const kind = VOTE_KINDS[(bytes[33] ?? 0) - 1]
  if (kind === undefined) return reject('body_malformed', 'kind')
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const digestAt = (start: number): Digest => digestOf(bytes.subarray(start, start + 32))
  const statement: Statement = {
    kind,
    epoch: view.getBigUint64(34),
    setHash: digestAt(42),
    subject: digestAt(74),
    attempt: view.getUint32(106),
    index: view.getUint16(110),
    digest: digestAt(112),
  }
  return accept({ voter: peerIdOf(bytes.subarray(1, 33)), statement, signature: bytes.slice(144) })
}
