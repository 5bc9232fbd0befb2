/** The store without a disk: same rules, same contract suite; for simulations and unit tests. */
import { equalBytes } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { type Digest, type JobId, parseJobId } from '../../core/ids.ts'
import { unreachable } from '../../core/invariant.ts'
import { LIMITS } from '../../core/limits.ts'
import type {
  LedgerRows,
  LedgerTable,
  Store,
  StoreWrite,
  TransferFilter,
  TransferRow,
} from '../../node/runtime/ports.ts'

type JobRow = { readonly id: JobId; readonly phase: string; readonly createdMs: number; readonly bytes: Uint8Array }

/** What a crash leaves: pass it to another memory store to restart on the same disk. */
export type MemoryDisk = {
  readonly jobs: Map<JobId, JobRow>
  readonly receipts: Map<JobId, Uint8Array>
  /** `<table>/<key>` of every table that maps one key to bytes. */
  readonly rows: Map<string, Uint8Array>
  readonly transfers: Map<bigint, TransferRow>
  /** Of logged jobs that are not settled. */
  readonly deadlines: Map<string, number>
  readonly rosters: Map<Digest, { readonly epoch: bigint; readonly bytes: Uint8Array }>
}

export function createMemoryDisk(): MemoryDisk {
  return {
    jobs: new Map(),
    receipts: new Map(),
    rows: new Map(),
    transfers: new Map(),
    deadlines: new Map(),
    rosters: new Map(),
  }
}

export function createMemoryStore(disk: MemoryDisk = createMemoryDisk()): Store {
  let open = true
  const row = (table: string, key: string): Uint8Array | undefined => disk.rows.get(`${table}/${key}`)?.slice()
  const jobs = (): readonly JobRow[] =>
    [...disk.jobs.values()].sort((a, b) => a.createdMs - b.createdMs || (a.id < b.id ? -1 : 1))
  return {
    async commit(writes) {
      await Promise.resolve()
      if (!open) throw new FabricError('CF_STORE_FAILED', { reason: 'closed' })
      applyMemoryWrites(disk, writes)
    },
    job: (id) => disk.jobs.get(id),
    openJobs: () => jobs().filter(({ phase }) => phase !== 'settled'),
    listJobs: (limit, beforeMs = Number.MAX_SAFE_INTEGER) =>
      jobs()
        .filter(({ createdMs }) => createdMs < beforeMs)
        .reverse()
        .slice(0, limit),
    payload: (id) => row('payload', id),
    keptPayloads: (limit) =>
      jobs()
        .filter(({ id, phase }) => phase === 'settled' && disk.rows.has(`payload/${id}`))
        .slice(0, limit)
        .map(({ id }) => id),
    receipt: (id) => disk.receipts.get(id),
    vote: (voter, subject) => row('vote', `${voter} ${subject}`),
    work: (worker, subject) => row('work', `${worker} ${subject}`),
    roster: (root) => disk.rosters.get(root)?.bytes.slice(),
    transfers: (filter) => transfersOf(disk, filter),
    ledgerRow: row,
    ledgerCount: (table) => keysOf(disk, table).length,
    ledgerHead: () => row('head', ''),
    ledgerRows: (table) => keysOf(disk, table).map((key) => ({ key, bytes: row(table, key) ?? new Uint8Array() })),
    unsettledJobs: (limit) =>
      [...disk.deadlines]
        .sort(([, a], [, b]) => a - b)
        .slice(0, limit)
        .flatMap(([text, deadlineMs]) => {
          const id = parseJobId(text)
          return id === undefined ? [] : [{ id, deadlineMs }]
        }),
    accounts: () => keysOf(disk, 'account').map((id) => ({ id, bytes: row('account', id) ?? new Uint8Array() })),
    async close() {
      open = false
    },
  }
}

/** All or nothing: what could refuse is checked before anything is written. */
export function applyMemoryWrites(disk: MemoryDisk, writes: readonly StoreWrite[]): void {
  for (const write of writes) if (write.table === 'vote') refuseOtherVote(disk, write)
  for (const write of writes) applyWrite(disk, write)
}

function refuseOtherVote(disk: MemoryDisk, write: Extract<StoreWrite, { table: 'vote' }>): void {
  const earlier = disk.rows.get(`vote/${write.voter} ${write.subject}`)
  if (earlier !== undefined && !equalBytes(earlier, write.bytes))
    throw new FabricError('CF_STORE_FAILED', { reason: 'vote_exists' })
}

function applyWrite(disk: MemoryDisk, write: StoreWrite): void {
  switch (write.table) {
    case 'job': {
      const createdMs = disk.jobs.get(write.id)?.createdMs ?? write.createdMs
      disk.jobs.set(write.id, { id: write.id, phase: write.phase, createdMs, bytes: write.bytes.slice() })
      return
    }
    case 'payload':
      if (write.bytes.length === 0) disk.rows.delete(`payload/${write.id}`)
      else disk.rows.set(`payload/${write.id}`, write.bytes.slice())
      return
    case 'receipt':
      disk.receipts.set(write.id, write.bytes.slice())
      return
    case 'vote':
      disk.rows.set(`vote/${write.voter} ${write.subject}`, write.bytes.slice())
      return
    case 'work':
      disk.rows.set(`work/${write.worker} ${write.subject}`, write.bytes.slice())
      return
    case 'roster':
      disk.rosters.set(write.root, { epoch: write.epoch, bytes: write.bytes.slice() })
      for (const [root, { epoch }] of disk.rosters)
        if (epoch < write.epoch - BigInt(LIMITS.rosterEpochsMax)) disk.rosters.delete(root)
      return
    case 'ledger':
      applyLedger(disk, write.rows)
      return
    default:
      unreachable(write)
  }
}

function applyLedger(disk: MemoryDisk, rows: LedgerRows): void {
  for (const { id, bytes } of rows.accounts) disk.rows.set(`account/${id}`, bytes.slice())
  for (const { id, deadlineMs, bytes } of rows.loggedJobs) {
    disk.rows.set(`loggedJob/${id}`, bytes.slice())
    if (deadlineMs === null) disk.deadlines.delete(id)
    else disk.deadlines.set(id, deadlineMs)
  }
  for (const { table, key, value } of rows.keyed) disk.rows.set(`${table}/${key}`, value.slice())
  for (const transfer of rows.transfers)
    if (!disk.transfers.has(transfer.sequence)) disk.transfers.set(transfer.sequence, transfer)
  disk.rows.set('head/', rows.head.slice())
}

function transfersOf(disk: MemoryDisk, filter: TransferFilter): readonly TransferRow[] {
  const { account, jobId, hash, before, limit } = filter
  return [...disk.transfers.values()]
    .filter((row) => account === undefined || row.debit === account || row.credit === account)
    .filter((row) => jobId === undefined || row.jobId === jobId)
    .filter((row) => hash === undefined || row.hash === hash)
    .filter((row) => before === undefined || row.sequence < before)
    .sort((a, b) => (a.sequence > b.sequence ? -1 : 1))
    .slice(0, limit)
}

function keysOf(disk: MemoryDisk, table: LedgerTable): readonly string[] {
  return [...disk.rows.keys()]
    .filter((key) => key.startsWith(`${table}/`))
    .map((key) => key.slice(table.length + 1))
    .sort()
}
