/** What a follower has asked to be appended: the validator's answer and the entry itself come in any order, or one of them never. */
import { FabricError } from '../../core/errors.ts'
import type { Applied, Refused } from '../../core/log/apply.ts'
import type { EntryKind } from '../../core/log/entry.ts'
import { forkState, type LogState } from '../../core/log/state.ts'
import type { LogAccess } from '../runtime/mesh.ts'
import type { Clock, LogRecord, Store, StoreWrite } from '../runtime/ports.ts'
import { type Alongside, appendKey, type Pending } from './ledger-core.ts'
import { applyPending } from './ledger-draft.ts'

export type AppendsOptions = {
  /** Appends that may wait; beyond it `append` rejects with CF_STORE_QUEUE_FULL. */
  readonly queueCountMax?: number
  /** From the acknowledgement of an append to the coming of its entry. */
  readonly followMs?: number
}
export type AppendsPorts = {
  readonly log: Pick<LogAccess, 'append'>
  readonly store: Pick<Store, 'commit'>
  readonly clock: Clock
  readonly state: () => LogState
  /** Runs work while no entry is being applied. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>
}

/** `own`: the validator that serves the entry says that this node asked for it. */
export type FollowedRecord = LogRecord & { readonly own?: boolean }

/** An append on its way: at most one per kind and body. */
type Waiting = Pending & {
  readonly key: string
  /** The entry, when it came before the answer to the append. */
  seen: Applied | undefined
  /** Where a validator says that the entry is. */
  index: bigint | undefined
  settled: boolean
  readonly done: Promise<unknown>
}
export type Found = { readonly waiting: Waiting; readonly applied: Applied }
/** What a batch of entries means to those that wait: entries that are theirs, with their rows, and entries that may be. */
export type Finds = { readonly mine: Found[]; readonly sighted: Found[]; readonly rows: StoreWrite[] }

const FOLLOW_MS = 30_000
const QUEUE_COUNT_MAX = 4_096

export class Appends {
  readonly #options: AppendsOptions
  readonly #ports: AppendsPorts
  readonly #waiting = new Map<string, Waiting>()
  /** Behind another with the same entry. */
  #behindCount = 0

  constructor(options: AppendsOptions, ports: AppendsPorts) {
    this.#options = options
    this.#ports = ports
  }

  append(kind: EntryKind, body: Uint8Array, alongside?: Alongside): Promise<Applied | Refused> {
    const entries = this.#waiting.size + this.#behindCount
    if (entries >= (this.#options.queueCountMax ?? QUEUE_COUNT_MAX))
      return Promise.reject(new FabricError('CF_STORE_QUEUE_FULL', { entries }))
    const key = appendKey(kind, body)
    const earlier = this.#waiting.get(key)
    if (earlier !== undefined) return this.#after(earlier, kind, body, alongside)
    const { promise, resolve, reject } = Promise.withResolvers<Applied | Refused>()
    const parts = { key, kind, body: body.slice(), alongside, resolve, reject, done: promise }
    // Registered before it is sent: the entry may come back before the answer does.
    const waiting: Waiting = { ...parts, seen: undefined, index: undefined, settled: false }
    this.#waiting.set(key, waiting)
    void this.#send(waiting)
    return promise
  }

  has(key: string): boolean {
    return this.#waiting.has(key)
  }

  /**
   * Sorts an entry that has been applied to a fork.
   *
   * Why a hold must also be said to be this node's: the same intent may have come in at two edges, and one of them drives its job.
   */
  sort(record: FollowedRecord, applied: Applied, to: Finds): void {
    const waiting = this.#waiting.get(appendKey(applied.kind, applied.entry.body))
    if (waiting === undefined) return
    if (applied.kind === 'hold' && record.own !== true && waiting.index !== record.index) {
      to.sighted.push({ waiting, applied })
      return
    }
    try {
      to.rows.push(...(waiting.alongside?.(applied) ?? []))
      to.mine.push({ waiting, applied })
    } catch (error) {
      settle(this.#waiting, waiting, () => waiting.reject(error))
    }
  }

  /** The entries are durable, with their rows. */
  came({ mine, sighted }: Finds): void {
    for (const { waiting, applied } of sighted) waiting.seen = applied
    for (const { waiting, applied } of mine) settle(this.#waiting, waiting, () => waiting.resolve(applied))
  }

  /** Nothing more will come. */
  end(error: FabricError): void {
    for (const waiting of this.#waiting.values()) settle(this.#waiting, waiting, () => waiting.reject(error))
  }

  /** What the log says to the second of two follows from what became of the first. */
  async #after(earlier: Waiting, ...entry: Parameters<Appends['append']>): Promise<Applied | Refused> {
    this.#behindCount += 1
    try {
      await earlier.done.catch(() => {})
    } finally {
      this.#behindCount -= 1
    }
    return this.append(...entry)
  }

  async #send(waiting: Waiting): Promise<void> {
    const { log, inTurn } = this.#ports
    try {
      const answer = await log.append(waiting.kind, waiting.body)
      if (answer.status === 'refused') settle(this.#waiting, waiting, () => waiting.resolve(answer))
      else await inTurn(() => this.#acknowledged(waiting, answer.index))
      if (!waiting.settled) await this.#expect(waiting)
    } catch (error) {
      await inTurn(() => this.#unanswered(waiting, error))
    }
  }

  async #acknowledged(waiting: Waiting, index: bigint): Promise<void> {
    if (waiting.settled) return
    if (waiting.seen !== undefined) await this.#finish(waiting, waiting.seen)
    else if (index <= this.#ports.state().head.index) settle(this.#waiting, waiting, () => this.#repeat(waiting))
    else waiting.index = index
  }

  /** Nobody answered in time: the entry itself is the answer, if it is there. */
  async #unanswered(waiting: Waiting, error: unknown): Promise<void> {
    if (waiting.settled) return
    if (waiting.seen === undefined) settle(this.#waiting, waiting, () => waiting.reject(error))
    else await this.#finish(waiting, waiting.seen)
  }

  /** Rows of an entry that came before it was known whose it is. */
  async #finish(waiting: Waiting, applied: Applied): Promise<void> {
    try {
      const rows = waiting.alongside?.(applied) ?? []
      if (rows.length > 0) await this.#ports.store.commit(rows)
      settle(this.#waiting, waiting, () => waiting.resolve(applied))
    } catch (error) {
      settle(this.#waiting, waiting, () => waiting.reject(error))
    }
  }

  /** The entry was here before it was asked for: what the log says to a repeat follows from the state. */
  #repeat({ kind, body, resolve, reject }: Waiting): void {
    const { state, clock } = this.#ports
    const { result } = applyPending(forkState(state()), { kind, body }, BigInt(clock.nowMs()))
    if (result.status === 'refused') resolve(result)
    else reject(new FabricError('CF_STORE_FAILED', { reason: 'append_unknown' }))
  }

  /** An entry that is in the log must come, or this node does not follow it any more. */
  async #expect(waiting: Waiting): Promise<void> {
    const { clock, inTurn } = this.#ports
    const over = new AbortController()
    const stop = (): void => over.abort()
    waiting.done.then(stop, stop)
    const late = new FabricError('CF_STORE_FAILED', { reason: 'log_not_followed' })
    await clock.sleep(this.#options.followMs ?? FOLLOW_MS, over.signal).then(
      () => inTurn(() => this.#unanswered(waiting, late)),
      () => {},
    )
  }
}

function settle(from: Map<string, Waiting>, waiting: Waiting, answer: () => void): void {
  if (waiting.settled) return
  waiting.settled = true
  from.delete(waiting.key)
  answer()
}
