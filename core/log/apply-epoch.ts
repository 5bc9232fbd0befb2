/** Entries that move the swarm from one epoch, validator set or snapshot to the next; each needs a certificate of the current set. */
import { admitKey } from '../identity/keys.ts'
import { type Digest, keyOf } from '../ids.ts'
import type { CompactCertificate } from '../quorum/certificate.ts'
import { isValidatorList, type ValidatorSet, validatorSet } from '../quorum/validators.ts'
import type { VoteKind } from '../quorum/vote.ts'
import { certificateFault, numberedSubject, statementOf } from './authority.ts'
import { beaconEntryCodec, rosterEntryCodec, snapshotEntryCodec, validatorSetEntryCodec } from './bodies-certified.ts'
import { type Handler, without } from './effects.ts'
import { type Refused, refuse } from './refusal.ts'
import type { LogState } from './state.ts'

/** Fixes the roster of the next epoch; draws use the current one until its beacon comes. */
export const applyRoster: Handler = (state, entry) => {
  const decoded = rosterEntryCodec.decode(entry.body)
  if (decoded.action !== 'accept') return refuse('body_malformed')
  const { epoch, root } = decoded.value
  if (epoch !== state.epoch + 1n || state.nextRosterRoot !== null) return refuse('epoch_mismatch')
  const uncertified = numberedFault(state, 'roster', epoch, root, decoded.value)
  if (uncertified !== undefined) return uncertified
  state.nextRosterRoot = root
  return without()
}

/** Starts the next epoch: its roster was fixed before anyone knew this beacon. */
export const applyBeacon: Handler = (state, entry) => {
  const decoded = beaconEntryCodec.decode(entry.body)
  if (decoded.action !== 'accept') return refuse('body_malformed')
  const { epoch, beacon } = decoded.value
  if (epoch !== state.epoch + 1n) return refuse('epoch_mismatch')
  if (state.nextRosterRoot === null) return refuse('roster_missing')
  const uncertified = numberedFault(state, 'beacon', epoch, beacon, decoded.value)
  if (uncertified !== undefined) return uncertified
  state.epoch = epoch
  state.beacon = beacon
  state.rosterRoot = state.nextRosterRoot
  state.nextRosterRoot = null
  return without()
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
