/** Entries that move the swarm from one epoch, validator set or snapshot to the next; each needs a certificate of the current set. */
import { admitKey } from '../identity/keys.ts'
import { type Digest, keyOf, nodeAccount, type PeerId } from '../ids.ts'
import { EMPTY_ACCOUNT, spendable } from '../ledger/account.ts'
import type { TransferDraft } from '../ledger/transfer.ts'
import { type CompactCertificate, votersOf } from '../quorum/certificate.ts'
import { isValidatorList, type ValidatorSet, validatorSet } from '../quorum/validators.ts'
import type { VoteKind } from '../quorum/vote.ts'
import { certificateFault, numberedSubject, statementOf } from './authority.ts'
import { beaconEntryCodec, rosterEntryCodec, snapshotEntryCodec, validatorSetEntryCodec } from './bodies-certified.ts'
import { book, type Handler, without } from './effects.ts'
import { beaconDigest, recordEpoch, rosterDigest } from './epochs.ts'
import { type Refused, refuse } from './refusal.ts'
import { count, freshStanding, isAdmitted, JOINED_WEIGHT, ownerNamed } from './standing.ts'
import { type LogState, platformOf } from './state.ts'

/** Fixes the roster of the next epoch; draws use the current one until its beacon comes. */
export const applyRoster: Handler = (state, entry) => {
  const decoded = rosterEntryCodec.decode(entry.body)
  if (decoded.action !== 'accept') return refuse('body_malformed')
  const { epoch, root, commits } = decoded.value
  if (epoch !== state.epoch + 1n || state.nextRoster !== null) return refuse('epoch_mismatch')
  const digest = rosterDigest(state.swarmId, epoch, root, commits)
  const uncertified = numberedFault(state, 'roster', epoch, digest, decoded.value)
  if (uncertified !== undefined) return uncertified
  state.nextRoster = { root, commits, loggedMs: entry.timeMs, body: entry.body }
  return without()
}

/** Starts the next epoch: its roster was fixed before anyone knew this beacon. */
export const applyBeacon: Handler = (state, entry, hash) => {
  const decoded = beaconEntryCodec.decode(entry.body)
  if (decoded.action !== 'accept') return refuse('body_malformed')
  const { epoch, beacon, forfeits } = decoded.value
  if (epoch !== state.epoch + 1n) return refuse('epoch_mismatch')
  if (state.nextRoster === null) return refuse('roster_missing')
  const digest = beaconDigest(state.swarmId, epoch, beacon, forfeits)
  const uncertified = numberedFault(state, 'beacon', epoch, digest, decoded.value)
  if (uncertified !== undefined) return uncertified
  const forfeited = votersOf(state.validators, forfeits)
  // Counted in the epoch that ends: what a weight is in the next roster was settled when this one began.
  for (const validator of forfeited) count(state, validator, 'forfeits')
  const { root: rosterRoot, body: roster } = state.nextRoster
  state.epoch = epoch
  state.beacon = beacon
  state.rosterRoot = rosterRoot
  state.nextRoster = null
  const proof = { roster, beacon: entry.body }
  recordEpoch(state, { epoch, beacon, rosterRoot, startedMs: entry.timeMs, startedIndex: entry.index, proof })
  return book(state, entry, hash, forfeitDrafts(state, epoch, forfeited, entry.timeMs), null)
}

/** What a validator pays that commits to a beacon and keeps its part to itself: at most what it has. */
export const FORFEIT_MICRO = 1_000_000n

function forfeitDrafts(
  state: LogState,
  epoch: bigint,
  validators: readonly PeerId[],
  nowMs: bigint,
): readonly TransferDraft[] {
  return validators.flatMap((peer): TransferDraft[] => {
    const debit = nodeAccount(peer)
    const has = spendable(state.accounts.get(debit) ?? EMPTY_ACCOUNT, nowMs)
    const amount = has < FORFEIT_MICRO ? has : FORFEIT_MICRO
    if (amount <= 0n) return []
    return [
      {
        ...{ op: 'direct', kind: 'forfeit', debit, credit: platformOf(state), amount, reason: 'beacon not revealed' },
        ...{ jobId: null, nodeId: peer, idempotencyKey: `forfeit/${epoch}/${peer}`, vestsAtMs: 0n },
      },
    ]
  })
}

/** Hands over to the next validator set; what the old one signed and is not in the log yet counts no more. */
export const applyValidatorSet: Handler = (state, entry) => {
  const decoded = validatorSetEntryCodec.decode(entry.body)
  if (decoded.action !== 'accept') return refuse('body_malformed')
  const { epoch, removed, added } = decoded.value
  if (epoch !== state.validators.epoch + 1n) return refuse('epoch_mismatch')
  const next = changedSet(state.validators, epoch, removed, added)
  if (next === undefined) return refuse('validator_set_unsound')
  const uncertified = numberedFault(state, 'validator-set', epoch, next.hash, decoded.value)
  if (uncertified !== undefined) return uncertified
  state.validators = next
  // Commitments and bits of a waiting roster are places in the old set: the new one certifies it again.
  state.nextRoster = null
  for (const peer of added) {
    if (isAdmitted(state, peer)) continue
    const standing = { owner: ownerNamed(peer), user: null, joinedEpoch: state.epoch, base: JOINED_WEIGHT }
    state.peers.set(peer, freshStanding(standing))
  }
  return without()
}

/** @returns undefined when the change is empty, names a key twice or an inadmissible one, or leaves no validator or too many */
export function changedSet(
  set: ValidatorSet,
  epoch: bigint,
  removed: number,
  added: ValidatorSet['keys'],
): ValidatorSet | undefined {
  if (removed >= 2 ** set.keys.length || (removed === 0 && added.length === 0)) return undefined
  const keys = [...set.keys.filter((_, place) => (removed & (1 << place)) === 0), ...added]
  const admissible = added.every((key) => admitKey(keyOf(key)).action === 'accept')
  return isValidatorList(keys) && admissible ? validatorSet(epoch, keys) : undefined
}

export const applySnapshot: Handler = (state, entry) => {
  const decoded = snapshotEntryCodec.decode(entry.body)
  if (decoded.action !== 'accept') return refuse('body_malformed')
  const { index, digest } = decoded.value
  if (index > state.head.index || index <= (state.snapshot?.index ?? -1n)) return refuse('snapshot_mismatch')
  const uncertified = numberedFault(state, 'snapshot', index, digest, decoded.value)
  if (uncertified !== undefined) return uncertified
  state.snapshot = { index, digest }
  return without()
}

function numberedFault(
  state: LogState,
  kind: VoteKind,
  number: bigint,
  digest: Digest,
  value: CompactCertificate & { readonly attempt: number },
): Refused | undefined {
  const parts = { subject: numberedSubject(state, kind, number), attempt: value.attempt, index: 0, digest }
  return certificateFault(state, statementOf(state, kind, parts), value)
}
