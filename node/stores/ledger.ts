/**
 * The only way to change money: entries queue here, are applied to a fork of the state, made durable by the region log, and then
 * folded into the state. A crash between any two of these steps loses nothing that was acknowledged and invents nothing.
 */
import { domainHash } from '#core/hash'
import { FabricError } from '../../core/errors.ts'
import { digestBytes } from '../../core/ids.ts'
import { LIMITS } from '../../core/limits.ts'
import {
  type Applied,
  applyBuilt,
  applyEntry,
  type BuiltEntry,
  buildEntry,
  type Refused,
} from '../../core/log/apply.ts'
import { genesisEntryCodec } from '../../core/log/bodies.ts'
import { ENTRY_OVERHEAD_BYTES, type EntryKind, entryHash } from '../../core/log/entry.ts'
import type { Genesis } from '../../core/log/genesis.ts'
import { refuse } from '../../core/log/refusal.ts'
import { forkState, type LogState, mergeState } from '../../core/log/state.ts'
import type { AuditView } from '../runtime/app.ts'
import type { Clock, EntryLink, Ledger, RegionLog, Store, StoreWrite } from '../runtime/ports.ts'
import { auditTables, replayLog } from './audit.ts'
import { ledgerRows, loadState } from './projection.ts'

export type LedgerOptions = {
  readonly genesis: Genesis
  /** Entries that one proposal may carry. */
  readonly batchCountMax?: number
  /** Entries that may wait; beyond it `append` rejects with CF_STORE_QUEUE_FULL. */
  readonly queueCountMax?: number
}
export type LedgerPorts = { readonly log: RegionLog; readonly store: Store; readonly clock: Clock }

type Alongside = (applied: Applied) => readonly StoreWrite[]
type Pending = {
  readonly kind: EntryKind
  readonly body: Uint8Array
  readonly alongside: Alongside | undefined
  readonly resolve: (result: Applied | Refused) => void
  readonly reject: (error: unknown) => void
}
/** A batch applied to a fork: nothing of it is true before the log has it. */
type Draft = {
  readonly fork: LogState
  readonly entries: readonly Uint8Array[]
  readonly links: readonly EntryLink[]
  readonly applied: readonly Applied[]
  readonly alongside: readonly StoreWrite[]
  readonly answers: readonly (() => void)[]
}

const BATCH_COUNT_MAX = 256
const QUEUE_COUNT_MAX = 4_096
const BODY_BYTES_MAX = LIMITS.entryBytesMax - ENTRY_OVERHEAD_BYTES
const READ_COUNT = 256
/** Other writers may move the head between our read and our proposal; this often in a row is a fault, not a race. */
const CONFLICT_COUNT_MAX = 16

export class LogLedger implements Ledger {
  /** What the durable log adds up to; read it, never write it. */
  readonly state: LogState
  readonly #options: LedgerOptions
  readonly #ports: LedgerPorts
  #pending: Pending[] = []
  #turn: Promise<unknown> = Promise.resolve()
  #scheduled = false
  #behind = true
  #closed = false

  private constructor(state: LogState, options: LedgerOptions, ports: LedgerPorts) {
    this.state = state
    this.#options = options
    this.#ports = ports
  }

  /**
   * Loads the state, catches up with the log, and writes the genesis entry into an empty one.
   *
   * @throws CF_STORE_FORKED when the tables do not belong to the log or either to the genesis
   */
  static async open(options: LedgerOptions, ports: LedgerPorts): Promise<LogLedger> {
    const ledger = new LogLedger(loadState(options.genesis, ports.store), options, ports)
    await ledger.#checkHead()
    await ledger.#catchUp()
    if (ledger.state.head.index >= 0n) return ledger
    const opened = await ledger.append('genesis', genesisEntryCodec.encode({ swarmId: options.genesis.swarmId }))
    if (opened.status === 'refused') throw new FabricError('CF_STORE_FORKED', { reason: opened.reason })
    return ledger
  }

  append(kind: EntryKind, body: Uint8Array, alongside?: Alongside): Promise<Applied | Refused> {
    if (this.#closed) return Promise.reject(new FabricError('CF_CONTROL_SHUTTING_DOWN'))
    if (this.#pending.length >= (this.#options.queueCountMax ?? QUEUE_COUNT_MAX)) {
      return Promise.reject(new FabricError('CF_STORE_QUEUE_FULL', { entries: this.#pending.length }))
    }
    return new Promise((resolve, reject) => {
      this.#pending.push({ kind, body: body.slice(), alongside, resolve, reject })
      this.#schedule()
    })
  }

  /** Applies the whole log again from genesis and compares the result with every row that the node uses. */
  async audit(): Promise<AuditView> {
    const { log, store } = this.#ports
    const replayed = await replayLog(this.#options.genesis, log, store, () => this.state.head.index)
    // Only the last stretch is compared while nothing is being written.
    return this.#inTurn(async () => {
      if (this.#behind) await this.#catchUp()
      return auditTables(this.state, store, await replayed.finish())
    })
  }

  /** Answers what is queued, then takes no more. The log and the store are closed by who opened them. */
  async close(): Promise<void> {
    this.#closed = true
    await this.#drain()
  }

  /** Appends of one tick make one batch, and with it one fsync. */
  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    setImmediate(() => {
      this.#scheduled = false
      void this.#drain()
    })
  }

  #drain(): Promise<void> {
    return this.#inTurn(async () => {
      while (this.#pending.length > 0)
        await this.#write(this.#pending.splice(0, this.#options.batchCountMax ?? BATCH_COUNT_MAX))
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }

  async #write(batch: readonly Pending[]): Promise<void> {
    try {
      const draft = await this.#propose(batch)
      for (const answer of draft.answers) answer()
    } catch (error) {
      // The outcome may be unknown: what the log has after all is found before the next batch.
      this.#behind = true
      for (const { reject } of batch) reject(error)
    }
  }

  async #propose(batch: readonly Pending[]): Promise<Draft> {
    const { log, store, clock } = this.#ports
    for (let conflictCount = 0; conflictCount < CONFLICT_COUNT_MAX; conflictCount += 1) {
      if (this.#behind) await this.#catchUp()
      const draft = draftOf(this.state, batch, BigInt(clock.nowMs()))
      if (draft.entries.length === 0) return draft
      const rows: StoreWrite = { table: 'ledger', rows: ledgerRows(draft.fork, draft.applied) }
      const projection = [rows, ...draft.alongside]
      const expectHead = digestBytes(this.state.head.hash)
      const proposed = await log.propose(draft.entries, {
        expectHead,
        idempotencyKey: domainHash('proposal', ...draft.entries),
        projection,
        links: draft.links,
      })
      if (proposed.status !== 'conflict') {
        if (!proposed.projected) await store.commit(projection)
        mergeState(this.state, draft.fork)
        return draft
      }
      // Our head is in a log that never forgets; one that is not ahead of it is another log.
      if (proposed.head.index <= this.state.head.index)
        throw new FabricError('CF_STORE_FORKED', { index: proposed.head.index })
      this.#behind = true
    }
    throw new FabricError('CF_STORE_FAILED', { reason: 'head_contended' })
  }

  /** The entry that the tables were made up to must be in the log, as it was. */
  async #checkHead(): Promise<void> {
    const { index, hash } = this.state.head
    if (index < 0n) return
    const [record] = await this.#ports.log.read(index, 1)
    if (record === undefined || entryHash(this.state.swarmId, record.bytes) !== hash)
      throw new FabricError('CF_STORE_FORKED', { index })
  }

  /** Applies what the log has beyond the tables: written by another validator, or by this one before a crash. */
  async #catchUp(): Promise<void> {
    const { log, store } = this.#ports
    for (;;) {
      const records = await log.read(this.state.head.index + 1n, READ_COUNT)
      if (records.length === 0) break
      const fork = forkState(this.state)
      const applied = records.map(({ index, bytes }) => {
        const result = applyEntry(fork, bytes)
        if (result.status === 'refused') throw new FabricError('CF_STORE_FORKED', { index, reason: result.reason })
        return result
      })
      await store.commit([{ table: 'ledger', rows: ledgerRows(fork, applied) }])
      mergeState(this.state, fork)
    }
    this.#behind = false
  }
}

/**
 * Applies a batch to a fork, leaving out what is refused.
 *
 * Why refusals are answered with the batch: one may rest on an entry of the same batch, which is not durable yet.
 */
function draftOf(state: LogState, batch: readonly Pending[], nowMs: bigint): Draft {
  const fork = forkState(state)
  const [entries, links, applied]: [Uint8Array[], EntryLink[], Applied[]] = [[], [], []]
  const [alongside, answers]: [StoreWrite[], (() => void)[]] = [[], []]
  for (const pending of batch) {
    try {
      // An entry whose own rows cannot be made must not be proposed: it is tried on a fork of its own.
      const attempt = pending.alongside === undefined ? fork : forkState(fork)
      const { built, result } = applyPending(attempt, pending, nowMs)
      const rows = result.status === 'applied' ? (pending.alongside?.(result) ?? []) : []
      answers.push(() => pending.resolve(result))
      if (result.status === 'refused' || built === undefined) continue
      if (attempt !== fork) mergeState(fork, attempt)
      entries.push(built.bytes)
      links.push(linkOf(built))
      applied.push(result)
      alongside.push(...rows)
    } catch (error) {
      answers.push(() => pending.reject(error))
    }
  }
  return { fork, entries, links, applied, alongside, answers }
}

function applyPending(
  state: LogState,
  { kind, body }: Pending,
  nowMs: bigint,
): { built?: BuiltEntry; result: Applied | Refused } {
  if (body.length > BODY_BYTES_MAX) return { result: refuse('entry_too_large') }
  const built = buildEntry(state, kind, body, nowMs)
  return { built, result: applyBuilt(state, built) }
}

function linkOf({ entry, hash }: BuiltEntry): EntryLink {
  return { index: entry.index, previous: digestBytes(entry.previous), hash: digestBytes(hash) }
}
