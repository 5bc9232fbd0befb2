/** The history of transfers: append only, read newest first by account or job. */
import { FabricError } from '../../core/errors.ts'
import type { TransferFilter, TransferRow } from '../runtime/ports.ts'
import { bigintOf, type Database, numberOf, type Row, textOf } from './database.ts'

const INSERT = `INSERT INTO transfer
  (sequence, id, time_ms, kind, debit, credit, amount, reason, job_id, node_id, idempotency_key, hash)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (sequence) DO NOTHING`
const SEQUENCE_MAX = 9_223_372_036_854_775_807n
const LIMIT_MAX = 1_000

export function writeTransfer(database: Database, row: TransferRow): void {
  database.run(
    INSERT,
    row.sequence,
    row.id,
    row.timeMs,
    row.kind,
    row.debit,
    row.credit,
    row.amount,
    row.reason,
    row.jobId,
    row.nodeId,
    row.idempotencyKey,
    row.hash,
  )
}

/**
 * Reads the newest transfers that match.
 *
 * Why two index walks for an account: one OR over debit and credit would scan the table.
 */
export function readTransfers(database: Database, filter: TransferFilter): readonly TransferRow[] {
  const { account, jobId, hash } = filter
  const common: Wanted = { job_id: jobId, hash }
  if (account === undefined) return select(database, common, filter)
  const sides = [
    select(database, { debit: account, ...common }, filter),
    select(database, { credit: account, ...common }, filter),
  ]
  const bySequence = new Map(sides.flat().map((row) => [row.sequence, row]))
  return [...bySequence.values()].sort((a, b) => (a.sequence > b.sequence ? -1 : 1)).slice(0, filter.limit)
}

/** Columns, which are literals of this file, and the value that each must have. */
type Wanted = Partial<Record<'debit' | 'credit' | 'job_id' | 'hash', string | undefined>>

function select(database: Database, wanted: Wanted, filter: TransferFilter): readonly TransferRow[] {
  const before = filter.before ?? SEQUENCE_MAX
  const limit = Math.max(0, Math.min(filter.limit, LIMIT_MAX))
  const given = Object.entries(wanted).flatMap(([column, value]) => (value === undefined ? [] : [{ column, value }]))
  const where = ['sequence < ?', ...given.map(({ column }) => `${column} = ?`)].join(' AND ')
  const values = given.map(({ value }) => value)
  const sql = `SELECT * FROM transfer WHERE ${where} ORDER BY sequence DESC LIMIT ?`
  return database.all(sql, before, ...values, limit).map(transferRow)
}

function transferRow(row: Row): TransferRow {
  return {
    id: textOf(row, 'id'),
    sequence: bigintOf(row, 'sequence'),
    timeMs: numberOf(row, 'time_ms'),
    kind: textOf(row, 'kind'),
    debit: textOf(row, 'debit'),
    credit: textOf(row, 'credit'),
    amount: bigintOf(row, 'amount'),
    reason: textOf(row, 'reason'),
    jobId: textOrNull(row, 'job_id'),
    nodeId: textOrNull(row, 'node_id'),
    idempotencyKey: textOf(row, 'idempotency_key'),
    hash: textOf(row, 'hash'),
  }
}

function textOrNull(row: Row, column: string): string | null {
  const value = row[column]
  if (value !== null && typeof value !== 'string')
    throw new FabricError('CF_STORE_FAILED', { reason: 'column_type', column })
  return value
}
