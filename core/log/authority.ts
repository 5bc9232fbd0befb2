/** Who may write what: a user's signature, a mint key, or a quorum certificate over a statement rebuilt from the state. */
import { domainHash } from '#core/hash'
import { u64be, utf8 } from '../codec/bytes.ts'
import { type Digest, digestBytes, digestOf, type PeerId } from '../ids.ts'
import { type CompactCertificate, checkCertificate } from '../quorum/certificate.ts'
import type { Statement, VoteKind } from '../quorum/vote.ts'
import type { EntryKind } from './entry.ts'
import { type Refused, refuse } from './refusal.ts'
import { ownerOf } from './standing.ts'
import type { LogState } from './state.ts'

/** What authorises each kind of entry; read by docs and by the test that no kind is without authority. */
export const AUTHORITY: Record<
  EntryKind,
  'genesis' | 'user' | 'mint-key' | 'owner' | 'party' | 'certificate' | 'certificate-or-expiry' | 'proof' | 'invite'
> = {
  genesis: 'genesis',
  mint: 'mint-key',
  hold: 'user',
  assignment: 'certificate',
  result: 'certificate',
  settlement: 'certificate-or-expiry',
  correction: 'certificate-or-expiry',
  evidence: 'proof',
  roster: 'certificate',
  beacon: 'certificate',
  'validator-set': 'certificate',
  invite: 'invite',
  snapshot: 'certificate',
  transfer: 'owner',
  policy: 'mint-key',
  dispute: 'party',
}

export function isMintKey(state: LogState, key: PeerId): boolean {
  return state.genesis.mintKeys.includes(key)
}

/** Validators and mint keys may let others in. */
export function mayInvite(state: LogState, key: PeerId): boolean {
  return isMintKey(state, key) || state.validators.keys.includes(key)
}

/**
 * Validators that may not sign a finding about this worker: the worker itself and all of its owner.
 *
 * In a local swarm all have one owner and receipts say so: there only the worker itself abstains.
 */
export function abstainersOf(state: LogState, worker: PeerId): readonly PeerId[] {
  if (state.genesis.local) return state.validators.keys.filter((key) => key === worker)
  const owner = ownerOf(state, worker)
  return state.validators.keys.filter((key) => key === worker || ownerOf(state, key) === owner)
}

export type StatementParts = Pick<Statement, 'subject' | 'attempt' | 'index' | 'digest'>

/** The statement that validators of the current set sign. */
export function statementOf(state: LogState, kind: VoteKind, parts: StatementParts): Statement {
  const { epoch, hash } = state.validators
  return { kind, epoch, setHash: hash, ...parts }
}

/** Names what is numbered and not a job: an epoch's roster or beacon, a validator set, a snapshot. */
export function numberedSubject(state: LogState, kind: VoteKind, number: bigint): Digest {
  return digestOf(domainHash('subject', digestBytes(state.swarmId), utf8(kind), u64be(number)))
}

/** @returns undefined when the current set has certified the statement */
export function certificateFault(
  state: LogState,
  statement: Statement,
  compact: CompactCertificate,
  abstaining: readonly PeerId[] = [],
): Refused | undefined {
  const checked = checkCertificate(state.swarmId, state.validators, statement, compact, abstaining)
  return checked.action === 'accept' ? undefined : refuse('certificate_invalid')
}
