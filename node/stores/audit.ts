/** The audit: the whole log applied again from genesis must give every row that the node uses, and the books must sum to zero. */
import { equalBytes } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { type Applied, applyEntry } from '../../core/log/apply.ts'
import type { Genesis } from '../../core/log/genesis.ts'
import { accountRow, scalarsRow } from '../../core/log/rows.ts'
import { createState, type LogState } from '../../core/log/state.ts'
import type { AuditView } from '../runtime/app.ts'
import type { LogRecord, Store, TransferRow } from '../runtime/ports.ts'
import { allRows, LEDGER_TABLES, sequenceOf, transferRows } from './projection.ts'

/** The log as far as an audit needs it. */
export type ReadableLog = { read(from: bigint, countMax: number): Promise<readonly LogRecord[]> }
export type Replay = { readonly state: LogState; readonly sound: boolean }

const READ_COUNT = 256

/**
 * Applies the log from its first entry to a state of its own, comparing each entry's transfers with the history on the way.
 *
 * @param last  index of the last entry that the tables have
 * @param base  the state that a snapshot gives, for a log whose first entries are gone
 * @returns     `finish` applies what was appended meanwhile; call it while nothing is being written
 */
export async function replayLog(
  genesis: Genesis,
  log: ReadableLog,
  store: Store,
  last: () => bigint,
  base?: () => LogState | undefined,
): Promise<{ finish(): Promise<Replay> }> {
  const state = await startOf(genesis, log, base)
  let sound = true
  const replayRest = async (): Promise<Replay> => {
    for (;;) {
      const due = sound ? Number(last() - state.head.index) : 0
      const records = due > 0 ? await log.read(state.head.index + 1n, Math.min(due, READ_COUNT)) : []
      if (records.length === 0) return { state, sound }
      for (const { bytes } of records) {
        const result = applyEntry(state, bytes)
        sound = sound && result.status === 'applied' && historyMatches(store, result)
      }
      // Signatures cost time: others get the loop between two pages.
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
  await replayRest()
  return { finish: replayRest }
}

async function startOf(genesis: Genesis, log: ReadableLog, base?: () => LogState | undefined): Promise<LogState> {
  try {
    await log.read(0n, 1)
    return createState(genesis)
  } catch (error) {
    const state = isTrimmed(error) ? base?.() : undefined
    if (state === undefined) throw error
    return state
  }
}

/** True when the log no longer has the entry that was asked for. */
export function isTrimmed(error: unknown): error is FabricError {
  return error instanceof FabricError && error.detail['reason'] === 'trimmed'
}

/**
 * Applies the whole log again and compares the result with every row that the node uses.
 *
 * @param settled  runs work while nothing is being written: only the last stretch is compared then
 */
export async function auditLedger(
  state: LogState,
  { log, store }: { readonly log: ReadableLog; readonly store: Store },
  settled: <T>(work: () => Promise<T>) => Promise<T>,
  base?: () => LogState | undefined,
): Promise<AuditView> {
  const replayed = await replayLog(state.genesis, log, store, () => state.head.index, base)
  return settled(async () => auditTables(state, store, await replayed.finish()))
}

/** Compares a replay with the tables; both stand at the same head. */
export function auditTables(used: LogState, store: Store, replay: Replay): AuditView {
  let [total, accounts, openHolds] = [0n, 0, 0]
  for (const [, { balance }] of used.accounts.entries()) {
    total += balance
    accounts += 1
  }
  for (const [, job] of replay.state.jobs.entries()) if (job.phase !== 'settled') openHolds += 1
  const replayMatches =
    replay.sound && used.head.hash === replay.state.head.hash && tablesMatch(used, store, replay.state)
  return { zeroSum: total === 0n, total, accounts, entries: replay.state.head.index + 1n, replayMatches, openHolds }
}

function tablesMatch(used: LogState, store: Store, state: LogState): boolean {
  const head = store.ledgerHead()
  if (head === undefined || !equalBytes(head, scalarsRow.encode(state))) return false
  const [newest] = store.transfers({ limit: 1 })
  if (newest !== undefined && newest.sequence >= sequenceOf(state.head.index + 1n)) return false
  const counts = new Map(LEDGER_TABLES.map((table) => [table, 0]))
  for (const [table, key, bytes] of allRows(state)) {
    const row = store.ledgerRow(table, key)
    if (row === undefined || !equalBytes(row, bytes)) return false
    counts.set(table, (counts.get(table) ?? 0) + 1)
  }
  for (const [id, account] of used.accounts.entries()) {
    const replayed = state.accounts.get(id)
    if (replayed === undefined || !equalBytes(accountRow.encode(account), accountRow.encode(replayed))) return false
  }
  return LEDGER_TABLES.every((table) => store.ledgerCount(table) === counts.get(table))
}

/** The history has exactly this entry's transfers in its place: one row more is asked for to see that none was added. */
function historyMatches(store: Store, applied: Applied): boolean {
  const expected = transferRows(applied)
  const { index } = applied.entry
  const rows = store.transfers({ limit: expected.length + 1, before: sequenceOf(index + 1n) })
  const [inEntry, before] = [rows.slice(0, expected.length).reverse(), rows[expected.length]]
  if (before !== undefined && before.sequence >= sequenceOf(index)) return false
  return inEntry.length === expected.length && expected.every((row, place) => sameRow(row, inEntry[place]))
}

function sameRow(left: TransferRow, right: TransferRow | undefined): boolean {
  return (
    right !== undefined &&
    left.id === right.id &&
    left.sequence === right.sequence &&
    left.timeMs === right.timeMs &&
    left.kind === right.kind &&
    left.debit === right.debit &&
    left.credit === right.credit &&
    left.amount === right.amount &&
    left.reason === right.reason &&
    left.jobId === right.jobId &&
    left.nodeId === right.nodeId &&
    left.idempotencyKey === right.idempotencyKey &&
    left.hash === right.hash
  )
}
