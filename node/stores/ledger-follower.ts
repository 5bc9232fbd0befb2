/**
 * The ledger of a node that does not hold the log: its state is rebuilt from the entries that validators serve, each of them checked
 * by `applyEntry` from the state before it. What it appends is made durable by a validator and counts here once it comes back.
 */
import { FabricError } from '../../core/errors.ts'
import type { Digest } from '../../core/ids.ts'
import { type Applied, applyEntry, type Refused } from '../../core/log/apply.ts'
import { type EntryKind, entryHash } from '../../core/log/entry.ts'
import type { Genesis } from '../../core/log/genesis.ts'
import { forkState, type LogState, mergeState } from '../../core/log/state.ts'
import type { AuditView } from '../runtime/app.ts'
import type { LogAccess } from '../runtime/mesh.ts'
import type { Clock, LogRecord, Store } from '../runtime/ports.ts'
import { auditLedger, isTrimmed } from './audit.ts'
import { Appends, type AppendsOptions, type Finds } from './ledger-appends.ts'
import {
  type Alongside,
  AppliedBell,
  type AppliedListener,
  isFork,
  roomAfter,
  type StateLedger,
} from './ledger-core.ts'
import { ledgerRows, loadState } from './projection.ts'
import { installSnapshot, type SnapshotPorts, snapshotState } from './snapshot-install.ts'

export type FollowerOptions = AppendsOptions & {
  readonly genesis: Genesis
  /** How long `open` waits to catch up with the log before the node starts without. */
  readonly openMs?: number
  /** As in LedgerOptions: on validators. */
  readonly snapshotEvery?: number
}
export type FollowerPorts = {
  readonly log: FollowedLog
  readonly store: Store
  readonly clock: Clock
  /** Absent: a log whose first entries are gone cannot be caught up with. */
  readonly snapshots?: SnapshotPorts
  /** The log forks: called once, when `fault` is set. */
  readonly onFault?: (error: FabricError) => void
}

export interface FollowedLog extends LogAccess {
  tail(from: bigint, signal: AbortSignal): AsyncIterable<LogRecord>
  /** What came last does not follow from what is known. @returns true when another validator is left to ask */
  distrust?(): boolean
  /** Who serves the log now; undefined while nobody does. */
  source?(): unknown
}

type Batch = {
  readonly fork: LogState
  readonly applied: readonly Applied[]
  readonly finds: Finds
  readonly refused: FabricError | undefined
}

const OPEN_MS = 5_000
const BATCH_COUNT_MAX = 256
const BUFFER_COUNT_MAX = 1_024
const RETRY_MS = 100
const RETRY_MS_MAX = 5_000

export class FollowerLedger implements StateLedger {
  #state: LogState
  readonly #options: FollowerOptions
  readonly #ports: FollowerPorts
  readonly #bell = new AppliedBell()
  readonly #appends: Appends
  readonly #stopped = new AbortController()
  #turn: Promise<unknown> = Promise.resolve()
  #following: Promise<void> = Promise.resolve()
  #fault: FabricError | undefined
  /** The first entry that the log still has, as far as known. */
  #first = 0n

  private constructor(options: FollowerOptions, ports: FollowerPorts) {
    this.#state = loadState(options.genesis, ports.store)
    this.#options = options
    this.#ports = ports
    const state = (): LogState => this.#state
    this.#appends = new Appends(options, { ...ports, state, inTurn: (work) => this.#inTurn(work) })
  }

  /** Loads the state and follows the log; a log that nobody serves yet is waited for a little, then in the background. */
  static async open(options: FollowerOptions, ports: FollowerPorts): Promise<FollowerLedger> {
    const ledger = new FollowerLedger(options, ports)
    ledger.#following = ledger.#follow()
    await ledger.#caughtUp(options.openMs ?? OPEN_MS)
    return ledger
  }

  get state(): LogState {
    return this.#state
  }

  get fault(): FabricError | undefined {
    return this.#fault
  }

  /** A validator serves the log, and what it serves follows from what is known. */
  get connected(): boolean {
    return this.#fault === undefined && this.#ports.log.source?.() !== undefined
  }

  isAppending(key: Digest): boolean {
    return this.#appends.has(key)
  }

  onApplied(listener: AppliedListener): () => void {
    return this.#bell.add(listener)
  }

  /**
   * Has a validator append the entry; resolves when it has come back and is durable here, its own rows in the same transaction.
   *
   * @returns a refusal also when the same entry was appended before: by this node in an earlier life, or by another
   */
  append(kind: EntryKind, body: Uint8Array, alongside?: Alongside): Promise<Applied | Refused> {
    const shut = this.#shut()
    if (shut !== undefined) return Promise.reject(shut)
    return this.#appends.append(kind, body, alongside)
  }

  audit(): Promise<AuditView> {
    const { snapshots } = this.#ports
    const base = () => (snapshots === undefined ? undefined : snapshotState(this.#options.genesis, snapshots.shelf))
    return auditLedger(this.state, this.#ports, (work) => this.#inTurn(work), base)
  }

  async close(): Promise<void> {
    this.#stopped.abort(new FabricError('CF_CONTROL_SHUTTING_DOWN'))
    this.#appends.end(new FabricError('CF_CONTROL_SHUTTING_DOWN'))
    await this.#following
    await this.#turn
  }

  /** Follows the log until the node stops or the log forks. */
  async #follow(): Promise<void> {
    const { signal } = this.#stopped
    for (let waitMs = RETRY_MS; !signal.aborted && this.#fault === undefined; ) {
      const { index } = this.state.head
      const error = await this.#followOnce(signal)
      if (signal.aborted) return
      if (isFork(error) && this.#ports.log.distrust?.() !== true) return this.#part(error)
      if (isTrimmed(error)) await this.#startAgain(error).catch(() => {})
      waitMs = this.state.head.index > index ? RETRY_MS : Math.min(waitMs * 2, RETRY_MS_MAX)
      await this.#ports.clock.sleep(waitMs, signal).catch(() => {})
    }
  }

  /** From the last known entry on: it must be in the log, as it was. Where it is gone, the next one must link to it. */
  get #from(): bigint {
    const { index } = this.state.head
    return index < 0n ? 0n : this.#first > index ? index + 1n : index
  }

  /** What this node needs of the log is gone: a snapshot takes its place. */
  async #startAgain(error: FabricError): Promise<void> {
    const { first } = error.detail
    const { index } = this.state.head
    this.#first = typeof first === 'bigint' ? first : 0n
    const { snapshots, store } = this.#ports
    if (this.#first <= index + 1n || snapshots === undefined) return
    await this.#inTurn(async () => {
      await installSnapshot(this.#options.genesis, store, snapshots, index)
      this.#state = loadState(this.#options.genesis, store)
    })
  }

  /** Up to the next entry after which a snapshot may be taken. */
  #roomFor(record: LogRecord | undefined): number {
    const before = record === undefined ? this.state.head.index : record.index - 1n
    return roomAfter(before, BATCH_COUNT_MAX, this.#options.snapshotEvery)
  }

  /** @returns why the log was followed no further */
  async #followOnce(signal: AbortSignal): Promise<unknown> {
    const broken = new AbortController()
    const from = this.#from
    const buffer: LogRecord[] = []
    let draining: Promise<void> | undefined
    const drain = async (): Promise<void> => {
      try {
        while (buffer.length > 0) await this.#inTurn(() => this.#take(buffer.splice(0, this.#roomFor(buffer[0]))))
      } catch (error) {
        broken.abort(error)
      }
      draining = undefined
    }
    try {
      const either = AbortSignal.any([signal, broken.signal])
      for await (const record of this.#ports.log.tail(from, either)) {
        buffer.push(record)
        draining ??= drain()
        if (buffer.length >= BUFFER_COUNT_MAX) await draining
      }
      await draining
      return broken.signal.reason
    } catch (error) {
      await draining
      return broken.signal.aborted ? broken.signal.reason : error
    }
  }

  /** Applies what came; it is durable, with the rows of this node's own entries, before anyone hears of it. */
  async #take(records: readonly LogRecord[]): Promise<void> {
    const { fork, applied, finds, refused } = this.#batchOf(records)
    if (applied.length > 0) {
      await this.#ports.store.commit([{ table: 'ledger', rows: ledgerRows(fork, applied) }, ...finds.rows])
      mergeState(this.state, fork)
      this.#appends.came(finds)
      const asked = new Set(finds.mine.map((found) => found.applied))
      this.#bell.ring(applied, (one) => asked.has(one))
    }
    if (refused !== undefined) throw refused
  }

  #batchOf(records: readonly LogRecord[]): Batch {
    const fork = forkState(this.state)
    const applied: Applied[] = []
    const finds: Finds = { mine: [], rows: [] }
    for (const record of records) {
      const result = record.index <= fork.head.index ? undefined : applyEntry(fork, record.bytes)
      const refused = result === undefined ? knownFault(fork, record) : refusalOf(record, result)
      if (refused !== undefined) return { fork, applied, finds, refused }
      if (result?.status !== 'applied') continue
      applied.push(result)
      this.#appends.sort(result, finds)
    }
    return { fork, applied, finds, refused: undefined }
  }

  #part(error: FabricError): void {
    this.#fault = error
    this.#appends.end(error)
    this.#ports.onFault?.(error)
  }

  #shut(): FabricError | undefined {
    return this.#stopped.signal.aborted ? new FabricError('CF_CONTROL_SHUTTING_DOWN') : this.#fault
  }

  async #caughtUp(openMs: number): Promise<void> {
    const { log, clock } = this.#ports
    const over = new AbortController()
    const late = clock.sleep(openMs, AbortSignal.any([over.signal, this.#stopped.signal])).catch(() => {})
    const caught = log.head().then(
      (head) => this.#reached(head?.index ?? -1n, over.signal),
      () => late,
    )
    await Promise.race([late, caught])
    over.abort()
  }

  #reached(index: bigint, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const look = (): void => {
        if (this.state.head.index < index && !signal.aborted) return
        stop()
        resolve()
      }
      const stop = this.#bell.add(look)
      signal.addEventListener('abort', look, { once: true })
      look()
    })
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#turn.then(work)
    this.#turn = turn.catch(() => {})
    return turn
  }
}

/** The last entry that is known must be in the log as it was. */
function knownFault({ head, swarmId }: LogState, { index, bytes }: LogRecord): FabricError | undefined {
  if (index < head.index || entryHash(swarmId, bytes) === head.hash) return undefined
  return new FabricError('CF_STORE_FORKED', { index, reason: 'head_mismatch' })
}

function refusalOf({ index }: LogRecord, result: Applied | Refused): FabricError | undefined {
  return result.status === 'applied' ? undefined : new FabricError('CF_STORE_FORKED', { index, reason: result.reason })
}
