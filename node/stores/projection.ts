/** Between the log's state and its rows: what a batch changed, and a state that reads through the store. */
import { digestBytes, digestOf, type JobId, keyOf, type PeerId, parseJobId, peerIdOf } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import type { Account } from '../../core/ledger/account.ts'
import type { Applied } from '../../core/log/apply.ts'
import type { EpochStart } from '../../core/log/epochs.ts'
import type { Genesis } from '../../core/log/genesis.ts'
import {
  accountRow,
  epochRow,
  jobRow,
  keyUseRow,
  policyRow,
  type RowCodec,
  restoreScalars,
  scalarsRow,
  standingRow,
} from '../../core/log/rows.ts'
import type { SnapshotRow } from '../../core/log/snapshot.ts'
import type { Standing } from '../../core/log/standing.ts'
import { createState, type KeyUse, type LoggedJob, type LogState, type Policy } from '../../core/log/state.ts'
import type { Lookup, Table } from '../../core/log/table.ts'
import type { LedgerRows, LedgerTable, Store, TransferRow } from '../runtime/ports.ts'

/** Rows of each table that a state keeps in memory beside the accounts, which it keeps all. */
const CACHED_ROWS_MAX = 4_096
/** Sequence numbers of one entry: above LIMITS.linkedTransferCountMax. */
const PLACES_PER_ENTRY = 64n

type KeyedTable = LedgerRows['keyed'][number]['table']

const jobIdRow: RowCodec<JobId> = {
  encode: (id) => digestBytes(id),
  decode(bytes) {
    const id = parseJobId(digestOf(bytes))
    invariant(id !== undefined, 'a row of our own is a job id')
    return id
  },
}
const peerRow: RowCodec<PeerId> = { encode: (peer) => keyOf(peer), decode: (bytes) => peerIdOf(bytes) }

/** Every table of the state by the name that the store gives it. */
export type TableRows = { readonly [Name in LedgerTable]: RowCodec<ValueOf[Name]> }
type ValueOf = {
  readonly account: Account
  readonly loggedJob: LoggedJob
  readonly nonce: JobId
  readonly idempotency: KeyUse
  readonly invite: PeerId
  readonly evidence: PeerId
  readonly peer: Standing
  readonly epoch: EpochStart
  readonly policy: Policy
}
const ROWS: TableRows = {
  account: accountRow,
  loggedJob: jobRow,
  nonce: jobIdRow,
  idempotency: keyUseRow,
  invite: peerRow,
  evidence: peerRow,
  peer: standingRow,
  epoch: epochRow,
  policy: policyRow,
}

/**
 * Makes the rows of what a fork changed.
 *
 * @param applied  the entries that the fork applied, in order
 */
export function ledgerRows(fork: LogState, applied: readonly Applied[]): LedgerRows {
  return {
    accounts: encoded(fork.accounts.changes(), accountRow).map(([id, bytes]) => ({ id, bytes })),
    loggedJobs: [...fork.jobs.changes()].map(([id, job]) => ({ id, ...deadlineOf(job), bytes: jobRow.encode(job) })),
    keyed: [
      ...keyed('nonce', fork.nonces, jobIdRow),
      ...keyed('idempotency', fork.idempotency, keyUseRow),
      ...keyed('invite', fork.invites, peerRow),
      ...keyed('evidence', fork.evidence, peerRow),
      ...keyed('peer', fork.peers, standingRow),
      ...keyed('epoch', fork.epochs, epochRow),
      ...keyed('policy', fork.policies, policyRow),
    ],
    transfers: applied.flatMap(transferRows),
    head: scalarsRow.encode(fork),
  }
}

function deadlineOf({ phase, deadlineMs }: LoggedJob): { readonly deadlineMs: number | null } {
  return { deadlineMs: phase === 'settled' ? null : Number(deadlineMs) }
}

/** The history rows of one entry. */
export function transferRows(applied: Applied): readonly TransferRow[] {
  const { entry, hash } = applied
  return applied.transfers.map((transfer, place) => {
    const { id, kind, debit, credit, amount, reason, jobId, nodeId, idempotencyKey } = transfer
    const sequence = sequenceOf(entry.index) + BigInt(place)
    const timeMs = Number(entry.timeMs)
    return { id, sequence, timeMs, kind, debit, credit, amount, reason, jobId, nodeId, idempotencyKey, hash }
  })
}

/** The sequence number of an entry's first transfer. */
export function sequenceOf(entryIndex: bigint): bigint {
  return entryIndex * PLACES_PER_ENTRY
}

/** The state as the store has it: accounts and peers in memory, other rows read when they are asked for. */
export function loadState(genesis: Genesis, store: Store): LogState {
  const state = createState(genesis, {
    accounts: resident(store, 'account', ROWS.account),
    jobs: cached(store, 'loggedJob', ROWS.loggedJob),
    nonces: cached(store, 'nonce', ROWS.nonce),
    idempotency: cached(store, 'idempotency', ROWS.idempotency),
    invites: cached(store, 'invite', ROWS.invite),
    evidence: cached(store, 'evidence', ROWS.evidence),
    // Who may work is asked of all of them at each epoch.
    peers: resident(store, 'peer', ROWS.peer),
    epochs: cached(store, 'epoch', ROWS.epoch),
    policies: cached(store, 'policy', ROWS.policy),
  })
  const head = store.ledgerHead()
  if (head !== undefined) restoreScalars(state, head)
  return state
}

/** Every row of a state that keeps all of them in memory, as the store would hold it. */
export function* allRows(state: LogState): Iterable<readonly [table: LedgerTable, key: string, bytes: Uint8Array]> {
  for (const [key, value] of state.accounts.entries()) yield ['account', key, ROWS.account.encode(value)]
  for (const [key, value] of state.jobs.entries()) yield ['loggedJob', key, ROWS.loggedJob.encode(value)]
  for (const [key, value] of state.nonces.entries()) yield ['nonce', key, ROWS.nonce.encode(value)]
  for (const [key, value] of state.idempotency.entries()) yield ['idempotency', key, ROWS.idempotency.encode(value)]
  for (const [key, value] of state.invites.entries()) yield ['invite', key, ROWS.invite.encode(value)]
  for (const [key, value] of state.evidence.entries()) yield ['evidence', key, ROWS.evidence.encode(value)]
  for (const [key, value] of state.peers.entries()) yield ['peer', key, ROWS.peer.encode(value)]
  for (const [key, value] of state.epochs.entries()) yield ['epoch', key, ROWS.epoch.encode(value)]
  for (const [key, value] of state.policies.entries()) yield ['policy', key, ROWS.policy.encode(value)]
}

/** Puts a row of a snapshot where it belongs. */
export function setRow(state: LogState, { table, key, bytes }: SnapshotRow): void {
  const put: { readonly [Name in LedgerTable]: () => void } = {
    account: () => state.accounts.set(key, ROWS.account.decode(bytes)),
    loggedJob: () => state.jobs.set(key, ROWS.loggedJob.decode(bytes)),
    nonce: () => state.nonces.set(key, ROWS.nonce.decode(bytes)),
    idempotency: () => state.idempotency.set(key, ROWS.idempotency.decode(bytes)),
    invite: () => state.invites.set(key, ROWS.invite.decode(bytes)),
    evidence: () => state.evidence.set(key, ROWS.evidence.decode(bytes)),
    peer: () => state.peers.set(key, ROWS.peer.decode(bytes)),
    epoch: () => state.epochs.set(key, ROWS.epoch.decode(bytes)),
    policy: () => state.policies.set(key, ROWS.policy.decode(bytes)),
  }
  put[table]()
}

export const LEDGER_TABLES: readonly LedgerTable[] = [
  'account',
  'loggedJob',
  'nonce',
  'idempotency',
  'invite',
  'evidence',
  'peer',
  'epoch',
  'policy',
]

/** A table that is all in memory, and can be listed. */
function resident<V>(store: Store, table: LedgerTable, row: RowCodec<V>): Lookup<V> {
  const rows = new Map<string, V>()
  for (const { key, bytes } of store.ledgerRows(table)) rows.set(key, row.decode(bytes))
  return {
    get: (key) => rows.get(key),
    set: (key, value) => void rows.set(key, value),
    entries: () => rows,
  }
}

/** Reads through to the store and keeps the rows used last; what the state writes is in the store already. */
function cached<V>(store: Store, table: LedgerTable, row: RowCodec<V>): Lookup<V> {
  const rows = new Map<string, V>()
  const keep = (key: string, value: V): void => {
    rows.delete(key)
    rows.set(key, value)
    const [oldest] = rows.keys()
    if (rows.size > CACHED_ROWS_MAX && oldest !== undefined) rows.delete(oldest)
  }
  return {
    set: keep,
    get(key) {
      const known = rows.get(key)
      if (known !== undefined) return known
      const bytes = store.ledgerRow(table, key)
      if (bytes === undefined) return undefined
      const value = row.decode(bytes)
      keep(key, value)
      return value
    },
  }
}

function keyed<V>(table: KeyedTable, rows: Table<V>, row: RowCodec<V>): LedgerRows['keyed'] {
  return encoded(rows.changes(), row).map(([key, value]) => ({ table, key, value }))
}

function encoded<V>(changes: ReadonlyMap<string, V>, row: RowCodec<V>): readonly (readonly [string, Uint8Array])[] {
  return [...changes].map(([key, value]) => [key, row.encode(value)])
}
