/** The local store on SQLite: journal, payloads, receipts, votes and the ledger's tables. */
import { FabricError } from '../../core/errors.ts'
import { type JobId, parseJobId } from '../../core/ids.ts'
import { unreachable } from '../../core/invariant.ts'
import { LIMITS } from '../../core/limits.ts'
import type { LedgerRows, LedgerTable, Store, StoreWrite } from '../runtime/ports.ts'
import { bytesOf, type Database, numberOf, type Row, textOf } from './database.ts'
import { readTransfers, writeTransfer } from './transfers.ts'

const LEDGER_VALUE: Record<LedgerTable, string> = {
  account: 'SELECT bytes AS value FROM account WHERE id = ?',
  loggedJob: 'SELECT bytes AS value FROM logged_job WHERE id = ?',
  nonce: 'SELECT value FROM nonce WHERE key = ?',
  idempotency: 'SELECT value FROM idempotency WHERE key = ?',
  invite: 'SELECT value FROM invite WHERE key = ?',
  evidence: 'SELECT value FROM evidence WHERE key = ?',
  peer: 'SELECT value FROM peer WHERE key = ?',
  epoch: 'SELECT value FROM epoch WHERE key = ?',
  policy: 'SELECT value FROM policy WHERE key = ?',
}
const LEDGER_COUNT: Record<LedgerTable, string> = {
  account: 'SELECT count(*) AS n FROM account',
  loggedJob: 'SELECT count(*) AS n FROM logged_job',
  nonce: 'SELECT count(*) AS n FROM nonce',
  idempotency: 'SELECT count(*) AS n FROM idempotency',
  invite: 'SELECT count(*) AS n FROM invite',
  evidence: 'SELECT count(*) AS n FROM evidence',
  peer: 'SELECT count(*) AS n FROM peer',
  epoch: 'SELECT count(*) AS n FROM epoch',
  policy: 'SELECT count(*) AS n FROM policy',
}
const KEYED_UPSERT: Record<LedgerRows['keyed'][number]['table'], string> = {
  nonce: keyedUpsert('nonce'),
  idempotency: keyedUpsert('idempotency'),
  invite: keyedUpsert('invite'),
  evidence: keyedUpsert('evidence'),
  peer: keyedUpsert('peer'),
  epoch: keyedUpsert('epoch'),
  policy: keyedUpsert('policy'),
}
const LEDGER_PAGE: Record<LedgerTable, string> = {
  account: pageOf('account', 'id', 'bytes'),
  loggedJob: pageOf('logged_job', 'id', 'bytes'),
  nonce: pageOf('nonce'),
  idempotency: pageOf('idempotency'),
  invite: pageOf('invite'),
  evidence: pageOf('evidence'),
  peer: pageOf('peer'),
  epoch: pageOf('epoch'),
  policy: pageOf('policy'),
}
const UNSETTLED =
  'SELECT id, deadline_ms FROM logged_job WHERE deadline_ms IS NOT NULL ORDER BY deadline_ms, id LIMIT ?'
const JOBS_MAX = 1_000
const PAGE_ROWS = 512

export function createStore(database: Database): Store {
  const bytesAt = (sql: string, ...keys: readonly string[]): Uint8Array | undefined => {
    const row = database.get(sql, ...keys)
    return row === undefined ? undefined : bytesOf(row, 'value')
  }
  return {
    commit: (writes) => database.enqueue(() => applyWrites(database, writes)),
    job(id) {
      const row = database.get('SELECT phase, bytes FROM job WHERE id = ?', id)
      return row === undefined ? undefined : { phase: textOf(row, 'phase'), bytes: bytesOf(row, 'bytes') }
    },
    openJobs: () =>
      database
        .all("SELECT id, bytes FROM job WHERE phase <> 'settled' ORDER BY created_ms, id")
        .map((row) => ({ id: jobIdIn(row), bytes: bytesOf(row, 'bytes') })),
    listJobs: (limit, beforeMs) => listJobs(database, limit, beforeMs),
    payload: (id) => bytesAt('SELECT bytes AS value FROM payload WHERE id = ?', id),
    keptPayloads: (limit) =>
      database
        .all(
          "SELECT job.id FROM payload JOIN job ON job.id = payload.id WHERE job.phase = 'settled' ORDER BY job.created_ms, job.id LIMIT ?",
          limit,
        )
        .map(jobIdIn),
    receipt(id) {
      const row = database.get('SELECT bytes FROM receipt WHERE id = ?', id)
      return row === undefined ? undefined : bytesOf(row, 'bytes')
    },
    vote: (voter, subject) =>
      bytesAt('SELECT bytes AS value FROM vote WHERE voter = ? AND subject = ?', voter, subject),
    work: (worker, subject) =>
      bytesAt('SELECT bytes AS value FROM work WHERE worker = ? AND subject = ?', worker, subject),
    roster: (root) => bytesAt('SELECT bytes AS value FROM roster WHERE root = ?', root),
    transfers: (filter) => readTransfers(database, filter),
    ledgerRow: (table, key) => bytesAt(LEDGER_VALUE[table], key),
    ledgerCount: (table) => numberOf(database.get(LEDGER_COUNT[table]) ?? {}, 'n'),
    ledgerHead: () => bytesAt('SELECT bytes AS value FROM ledger_head WHERE one = 1'),
    ledgerRows: (table) => pages(database, LEDGER_PAGE[table]),
    unsettledJobs: (limit) =>
      database.all(UNSETTLED, limit).map((row) => ({ id: jobIdIn(row), deadlineMs: numberOf(row, 'deadline_ms') })),
    accounts: () =>
      database
        .all('SELECT id, bytes FROM account ORDER BY id')
        .map((row) => ({ id: textOf(row, 'id'), bytes: bytesOf(row, 'bytes') })),
    close: () => database.close(),
  }
}

/** Writes rows; only inside a unit of the database, so that they stand or fall with the rest of it. */
export function applyWrites(database: Database, writes: readonly StoreWrite[]): void {
  for (const write of writes) applyWrite(database, write)
}

function applyWrite(database: Database, write: StoreWrite): void {
  switch (write.table) {
    case 'job':
      database.run(JOB_UPSERT, write.id, write.phase, write.createdMs, write.bytes)
      return
    case 'payload':
      if (write.bytes.length === 0) database.run('DELETE FROM payload WHERE id = ?', write.id)
      else
        database.run(
          'INSERT INTO payload (id, bytes) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes',
          write.id,
          write.bytes,
        )
      return
    case 'receipt':
      database.run(RECEIPT_UPSERT, write.id, write.bytes)
      return
    case 'vote':
      writeVote(database, write)
      return
    case 'work':
      database.run(WORK_UPSERT, write.worker, write.subject, write.bytes)
      return
    case 'roster':
      database.run(ROSTER_INSERT, write.root, write.epoch, write.bytes)
      database.run('DELETE FROM roster WHERE epoch < ?', write.epoch - BigInt(LIMITS.rosterEpochsMax))
      return
    case 'ledger':
      writeLedger(database, write.rows)
      return
    default:
      unreachable(write)
  }
}

const JOB_UPSERT = `INSERT INTO job (id, phase, created_ms, bytes) VALUES (?, ?, ?, ?)
  ON CONFLICT (id) DO UPDATE SET phase = excluded.phase, bytes = excluded.bytes`
const RECEIPT_UPSERT = `INSERT INTO receipt (id, bytes) VALUES (?, ?)
  ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes`
const WORK_UPSERT = `INSERT INTO work (worker, subject, bytes) VALUES (?, ?, ?)
  ON CONFLICT (worker, subject) DO UPDATE SET bytes = excluded.bytes`
const ROSTER_INSERT = 'INSERT INTO roster (root, epoch, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING'
const ACCOUNT_UPSERT =
  'INSERT INTO account (id, bytes) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET bytes = excluded.bytes'
const LOGGED_JOB_UPSERT = `INSERT INTO logged_job (id, deadline_ms, bytes) VALUES (?, ?, ?)
  ON CONFLICT (id) DO UPDATE SET deadline_ms = excluded.deadline_ms, bytes = excluded.bytes`
const HEAD_UPSERT =
  'INSERT INTO ledger_head (one, bytes) VALUES (1, ?) ON CONFLICT (one) DO UPDATE SET bytes = excluded.bytes'

/** Why a second vote fails the whole commit: replacing the first would let a validator equivocate. */
function writeVote(database: Database, write: Extract<StoreWrite, { table: 'vote' }>): void {
  const { voter, subject, bytes } = write
  const inserted = database.run(
    'INSERT INTO vote (voter, subject, bytes) VALUES (?, ?, ?) ON CONFLICT DO NOTHING',
    voter,
    subject,
    bytes,
  )
  if (inserted === 1) return
  const same = database.get(
    'SELECT 1 AS one FROM vote WHERE voter = ? AND subject = ? AND bytes = ?',
    voter,
    subject,
    bytes,
  )
  if (same === undefined) throw new FabricError('CF_STORE_FAILED', { reason: 'vote_exists' })
}

function writeLedger(database: Database, rows: LedgerRows): void {
  for (const { id, bytes } of rows.accounts) database.run(ACCOUNT_UPSERT, id, bytes)
  for (const { id, deadlineMs, bytes } of rows.loggedJobs) database.run(LOGGED_JOB_UPSERT, id, deadlineMs, bytes)
  for (const { table, key, value } of rows.keyed) database.run(KEYED_UPSERT[table], key, value)
  for (const row of rows.transfers) writeTransfer(database, row)
  database.run(HEAD_UPSERT, rows.head)
}

/** Every row of a table, in pages: a large one is never in memory at once. */
function* pages(database: Database, sql: string): Generator<{ readonly key: string; readonly bytes: Uint8Array }> {
  for (let after: string | undefined = ''; after !== undefined; ) {
    const rows: readonly Row[] = database.all(sql, after, PAGE_ROWS)
    for (const row of rows) yield { key: textOf(row, 'key'), bytes: bytesOf(row, 'value') }
    const last: Row | undefined = rows.length < PAGE_ROWS ? undefined : rows.at(-1)
    after = last === undefined ? undefined : textOf(last, 'key')
  }
}

function pageOf(table: string, key = 'key', value = 'value'): string {
  return `SELECT ${key} AS key, ${value} AS value FROM ${table} WHERE ${key} > ? ORDER BY ${key} LIMIT ?`
}

function keyedUpsert(table: string): string {
  return `INSERT INTO ${table} (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value`
}

function listJobs(
  database: Database,
  limit: number,
  beforeMs = Number.MAX_SAFE_INTEGER,
): ReturnType<Store['listJobs']> {
  const rows = database.all(
    'SELECT id, phase, created_ms, bytes FROM job WHERE created_ms < ? ORDER BY created_ms DESC, id DESC LIMIT ?',
    beforeMs,
    Math.min(limit, JOBS_MAX),
  )
  return rows.map((row) => ({
    id: jobIdIn(row),
    phase: textOf(row, 'phase'),
    createdMs: numberOf(row, 'created_ms'),
    bytes: bytesOf(row, 'bytes'),
  }))
}

function jobIdIn(row: Row): JobId {
  const id = parseJobId(row['id'])
  if (id === undefined) throw new FabricError('CF_STORE_FAILED', { reason: 'column_type', column: 'id' })
  return id
}
