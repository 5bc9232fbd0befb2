/**
 * `applyEntry` is the only writer of money, nonces, assignments, epochs and validator sets: on every node, embedded or not.
 * It is pure but for the state that it is given, and it changes that all at once or not at all.
 */
import type { Digest, JobId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import type { Transfer } from '../ledger/transfer.ts'
import { LIMITS } from '../limits.ts'
import { applyBeacon, applyRoster, applySnapshot, applyValidatorSet } from './apply-epoch.ts'
import { applyAssignment, applyHold, applyResult } from './apply-job.ts'
import { applyGenesis, applyMint, applyTransfer } from './apply-money.ts'
import { applyEvidence, applyInvite } from './apply-peer.ts'
import { applyCorrection, applySettlement } from './apply-settlement.ts'
import { applyDispute } from './disputing.ts'
import type { Handler } from './effects.ts'
import { type Entry, type EntryKind, entryCodec, entryHash, LOG_TIME_MS_MAX } from './entry.ts'
import { applyPolicy } from './policies.ts'
import { type Refused, refuse } from './refusal.ts'
import { forkState, type LogState, mergeState } from './state.ts'

export type { RefusalReason, Refused } from './refusal.ts'

export type Applied = {
  readonly status: 'applied'
  readonly kind: EntryKind
  readonly entry: Entry
  readonly hash: Digest
  readonly transfers: readonly Transfer[]
  readonly jobId: JobId | null
}

const HANDLERS: Record<EntryKind, Handler> = {
  genesis: applyGenesis,
  mint: applyMint,
  hold: applyHold,
  assignment: applyAssignment,
  result: applyResult,
  settlement: applySettlement,
  correction: applyCorrection,
  evidence: applyEvidence,
  roster: applyRoster,
  beacon: applyBeacon,
  'validator-set': applyValidatorSet,
  invite: applyInvite,
  snapshot: applySnapshot,
  transfer: applyTransfer,
  policy: applyPolicy,
  dispute: applyDispute,
}

/**
 * Applies the next entry of the log to the state.
 *
 * @param state       changed only when the entry is accepted
 * @param entryBytes  untrusted; at most LIMITS.entryBytesMax
 * @returns           what the entry did, or why it is refused and then nothing has changed
 * @see               docs/PROTOCOL.md#log-entries
 */
export function applyEntry(state: LogState, entryBytes: Uint8Array): Applied | Refused {
  if (entryBytes.length > LIMITS.entryBytesMax) return refuse('entry_too_large')
  const decoded = entryCodec.decode(entryBytes)
  if (decoded.action !== 'accept') return refuse('entry_malformed')
  const misplaced = chainFault(state, decoded.value)
  return misplaced ?? applyNext(state, decoded.value, entryHash(state.swarmId, entryBytes))
}

/** Applies what `buildEntry` has just made of this very state: the same as `applyEntry` of its bytes, without reading them again. */
export function applyBuilt(state: LogState, { bytes, entry, hash }: BuiltEntry): Applied | Refused {
  if (bytes.length > LIMITS.entryBytesMax) return refuse('entry_too_large')
  return chainFault(state, entry) ?? applyNext(state, entry, hash)
}

function applyNext(state: LogState, entry: Entry, hash: Digest): Applied | Refused {
  const fork = forkState(state)
  const effects = HANDLERS[entry.kind](fork, entry, hash)
  if (effects.status === 'refused') return effects
  fork.head = { index: entry.index, hash, timeMs: entry.timeMs }
  mergeState(state, fork)
  return { status: 'applied', kind: entry.kind, entry, hash, transfers: effects.transfers, jobId: effects.jobId }
}

function chainFault({ head }: LogState, { kind, index, previous, timeMs }: Entry): Refused | undefined {
  if (index !== head.index + 1n) return refuse('index_mismatch')
  if (previous !== head.hash) return refuse('previous_mismatch')
  if (timeMs < head.timeMs) return refuse('time_not_monotone')
  if (timeMs > LOG_TIME_MS_MAX) return refuse('time_out_of_range')
  if (index === 0n && kind !== 'genesis') return refuse('genesis_expected')
  return index > 0n && kind === 'genesis' ? refuse('genesis_repeated') : undefined
}

export type BuiltEntry = { readonly bytes: Uint8Array; readonly hash: Digest; readonly entry: Entry }

/**
 * Builds the entry that would come next.
 *
 * @param body    at most LIMITS.entryBytesMax less ENTRY_OVERHEAD_BYTES
 * @param timeMs  wall time; a clock that went back is raised to the head's time, so that log time never does
 */
export function buildEntry(state: LogState, kind: EntryKind, body: Uint8Array, timeMs: bigint): BuiltEntry {
  const { head } = state
  const entry: Entry = {
    kind,
    index: head.index + 1n,
    previous: head.hash,
    timeMs: timeMs > head.timeMs ? timeMs : head.timeMs,
    body,
  }
  const bytes = entryCodec.encode(entry)
  return { bytes, hash: entryHash(state.swarmId, bytes), entry }
}

export type Books = { readonly total: bigint; readonly mint: bigint; readonly accounts: number }

/**
 * Sums every account: credit is only ever moved, so the total is zero and the mint's debt is what all others own.
 *
 * @param state  with an `accounts` table that can be listed
 */
export function auditBooks(state: LogState): Books {
  let [total, mint, accounts] = [0n, 0n, 0]
  for (const [id, { balance, held }] of state.accounts.entries()) {
    total += balance
    accounts += 1
    if (id === 'mint') mint = balance
    else invariant(balance >= held && held >= 0n, 'no account but the mint is below zero')
  }
  return { total, mint, accounts }
}

export type Replayed =
  | { readonly status: 'ok'; readonly entries: bigint }
  | { readonly status: 'broken'; readonly index: bigint; readonly refused: Refused }

/** Applies entries one after the other, stopping at the first that is refused: how a log is audited or caught up with. */
export function replay(
  state: LogState,
  entries: Iterable<Uint8Array>,
  each: (applied: Applied) => void = () => {},
): Replayed {
  let count = 0n
  for (const bytes of entries) {
    const result = applyEntry(state, bytes)
    if (result.status === 'refused') return { status: 'broken', index: state.head.index + 1n, refused: result }
    count += 1n
    each(result)
  }
  return { status: 'ok', entries: count }
}
