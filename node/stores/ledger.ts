/**
 * The only way to change money: entries queue here, are applied to a fork of the state, made durable by the region log, and then
 * folded into the state. A crash between any two of these steps loses nothing that was acknowledged and invents nothing.
 */
import { domainHash } from '#core/hash'
import { FabricError } from '../../core/errors.ts'
import { type Digest, digestBytes } from '../../core/ids.ts'
import { type Applied, applyEntry, type Refused } from '../../core/log/apply.ts'
import { genesisEntryCodec } from '../../core/log/bodies.ts'
import { type EntryKind, entryHash } from '../../core/log/entry.ts'
import { forkState, type LogState, mergeState } from '../../core/log/state.ts'
import type { AuditView } from '../runtime/app.ts'
import type { Clock, LogRecord, RegionLog, Store, StoreWrite } from '../runtime/ports.ts'
import { auditLedger, isTrimmed } from './audit.ts'
import {
  type Alongside,
  AppliedBell,
  type AppliedListener,
  appendKey,
  isFork,
  type LedgerOptions,
  type Pending,
  roomAfter,
  type StateLedger,
} from './ledger-core.ts'
import { type Draft, draftOf } from './ledger-draft.ts'
import { ledgerRows, loadState } from './projection.ts'
import { installSnapshot, type SnapshotPorts, snapshotState } from './snapshot-install.ts'

export type { LedgerOptions } from './ledger-core.ts'
export type LedgerPorts = {
  readonly log: RegionLog
  readonly store: Store
  readonly clock: Clock
  /** Absent: the log is never trimmed. */
  readonly snapshots?: SnapshotPorts
}

const BATCH_COUNT_MAX = 256
const QUEUE_COUNT_MAX = 4_096
const READ_COUNT = 256
/** Other writers may move the head between our read and our proposal; this often in a row is a fault, not a race. */
const CONFLICT_COUNT_MAX = 16
/** Between two attempts to follow a log that broke off. */
const FOLLOW_RETRY_MS = 250

export class LogLedger implements StateLedger {
  #state: LogState
  readonly #options: LedgerOptions
  readonly #ports: LedgerPorts
  readonly #bell = new AppliedBell()
  #fault: FabricError | undefined
  #pending: Pending[] = []
  /** The batch that is on its way to the log. */
  #writing: readonly Pending[] = []
  #turn: Promise<unknown> = Promise.resolve()
  #scheduled = false
  #behind = true
  #closed = false

  private constructor(state: LogState, options: LedgerOptions, ports: LedgerPorts) {
    this.#state = state
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
    // Another validator may have been first: its genesis entry is the same.
    if (opened.status === 'refused' && ledger.state.head.index < 0n)
      throw new FabricError('CF_STORE_FORKED', { reason: opened.reason })
    return ledger
  }

  get state(): LogState {
    return this.#state
  }

  get fault(): FabricError | undefined {
    return this.#fault
  }

  isAppending(key: Digest): boolean {
    return [...this.#pending, ...this.#writing].some(({ kind, body }) => appendKey(kind, body) === key)
  }

  onApplied(listener: AppliedListener): () => void {
    return this.#bell.add(listener)
  }

  append(kind: EntryKind, body: Uint8Array, alongside?: Alongside): Promise<Applied | Refused> {
    if (this.#fault !== undefined) return Promise.reject(this.#fault)
    if (this.#closed) return Promise.reject(new FabricError('CF_CONTROL_SHUTTING_DOWN'))
    if (this.#pending.length >= (this.#options.queueCountMax ?? QUEUE_COUNT_MAX)) {
      return Promise.reject(new FabricError('CF_STORE_QUEUE_FULL', { entries: this.#pending.length }))
    }
    return new Promise((resolve, reject) => {
      this.#pending.push({ kind, body: body.slice(), alongside, resolve, reject })
      this.#schedule()
    })
  }

  /**
   * Takes over what other validators write, until the signal aborts. Only where several share one log.
   *
   * A log that breaks off is followed again; one that forks is not, and `fault` says so.
   */
  async follow(signal: AbortSignal): Promise<void> {
    const { log, clock } = this.#ports
    while (!signal.aborted && this.#fault === undefined) {
      try {
        for await (const { index } of log.tail(this.state.head.index + 1n, signal)) await this.#follow(index)
      } catch (error) {
        if (signal.aborted) return
        if (isFork(error)) this.#fault = error
      }
      await clock.sleep(FOLLOW_RETRY_MS, signal).catch(() => {})
    }
  }

  audit(): Promise<AuditView> {
    const settled = async <T>(work: () => Promise<T>): Promise<T> =>
      this.#inTurn(async () => {
        if (this.#behind) await this.#catchUp()
        return work()
      })
    return auditLedger(this.state, this.#ports, settled, () => this.#base())
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
    this.#writing = batch
    try {
      const draft = await this.#propose(batch)
      this.#pending.unshift(...draft.rest)
      for (const answer of draft.answers) answer()
      this.#bell.ring(draft.applied, () => true)
    } catch (error) {
      if (isFork(error)) this.#fault ??= error
      // The outcome may be unknown: what the log has after all is found before the next batch.
      this.#behind = true
      for (const { reject } of batch) reject(error)
    } finally {
      this.#writing = []
    }
  }

  async #propose(batch: readonly Pending[]): Promise<Draft> {
    const { log, store, clock } = this.#ports
    for (let conflictCount = 0; conflictCount < CONFLICT_COUNT_MAX; conflictCount += 1) {
      if (this.#behind) await this.#catchUp()
      const draft = draftOf(this.state, batch, BigInt(clock.nowMs()), this.#room(batch.length))
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
    const records = await this.#read(index, 1)
    // The log begins after this entry: what follows must link to it, or the state is that of a snapshot by now.
    if (records === undefined) return
    const [record] = records
    if (record === undefined || entryHash(this.state.swarmId, record.bytes) !== hash)
      throw new FabricError('CF_STORE_FORKED', { index })
  }

  #follow(index: bigint): Promise<void> {
    return this.#inTurn(async () => {
      if (index > this.state.head.index) await this.#catchUp()
    })
  }

  /** @returns undefined when these entries are gone; a state that would need them has been replaced by a snapshot's then */
  async #read(from: bigint, countMax: number): Promise<readonly LogRecord[] | undefined> {
    const { log, snapshots, store } = this.#ports
    const { genesis } = this.#options
    try {
      return await log.read(from, countMax)
    } catch (error) {
      if (!isTrimmed(error)) throw error
      const { index } = this.state.head
      if (from === index && error.detail['first'] === index + 1n) return undefined
      if (snapshots === undefined) throw error
      await installSnapshot(genesis, store, snapshots, index)
      this.#state = loadState(genesis, store)
      return undefined
    }
  }

  #room(countMax: number): number {
    return roomAfter(this.state.head.index, countMax, this.#options.snapshotEvery)
  }

  #base(): LogState | undefined {
    const { snapshots } = this.#ports
    return snapshots === undefined ? undefined : snapshotState(this.#options.genesis, snapshots.shelf)
  }

  /** Applies what the log has beyond the tables: written by another validator, or by this one before a crash. */
  async #catchUp(): Promise<void> {
    const { store } = this.#ports
    for (;;) {
      const next = this.state.head.index + 1n
      const records = await this.#read(next, this.#room(READ_COUNT))
      if (records === undefined) continue
      if (records.length === 0) break
      const fork = forkState(this.state)
      const applied = records.map(({ index, bytes }) => {
        const result = applyEntry(fork, bytes)
        if (result.status === 'refused') throw new FabricError('CF_STORE_FORKED', { index, reason: result.reason })
        return result
      })
      await store.commit([{ table: 'ledger', rows: ledgerRows(fork, applied) }])
      mergeState(this.state, fork)
      this.#bell.ring(applied, () => false)
    }
    this.#behind = false
  }
}
