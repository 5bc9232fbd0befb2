/** What a follower has asked to be appended: the validator's answer and the entry itself come in any order, or one of them never. */
import { FabricError } from '../../core/errors.ts'
import type { Applied, Refused } from '../../core/log/apply.ts'
import type { EntryKind } from '../../core/log/entry.ts'
import { forkState, type LogState } from '../../core/log/state.ts'
import type { LogAccess } from '../runtime/mesh.ts'
import type { Clock, StoreWrite } from '../runtime/ports.ts'
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
  readonly clock: Clock
  readonly state: () => LogState
  /** Runs work while no entry is being applied. */
  readonly inTurn: <T>(work: () => Promise<T>) => Promise<T>
}

/** An append on its way: at most one per kind and body. */
type Waiting = Pending & {
  readonly key: string
  settled: boolean
  readonly done: Promise<unknown>
}
export type Found = { readonly waiting: Waiting; readonly applied: Applied }
/** What a batch of entries means to those that wait: entries that are theirs, with their rows. */
export type Finds = { readonly mine: Found[]; readonly rows: StoreWrite[] }

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
    const waiting: Waiting = { ...parts, settled: false }
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
   * Why its bytes say whose it is: where that matters they name this node, as a hold does, and validators append it for nobody else.
   */
  sort(applied: Applied, to: Finds): void {
    const waiting = this.#waiting.get(appendKey(applied.kind, applied.entry.body))
    if (waiting === undefined) return
    try {
      to.rows.push(...(waiting.alongside?.(applied) ?? []))
      to.mine.push({ waiting, applied })
    } catch (error) {
      settle(this.#waiting, waiting, () => waiting.reject(error))
    }
  }

  /** The entries are durable, with their rows. */
  came({ mine }: Finds): void {
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
      else await inTurn(async () => this.#acknowledged(waiting, answer.index))
      if (!waiting.settled) await this.#expect(waiting)
    } catch (error) {
      await inTurn(async () => settle(this.#waiting, waiting, () => waiting.reject(error)))
    }
  }

  #acknowledged(waiting: Waiting, index: bigint): void {
    if (index <= this.#ports.state().head.index) settle(this.#waiting, waiting, () => this.#repeat(waiting))
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
      () => inTurn(async () => settle(this.#waiting, waiting, () => waiting.reject(late))),
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
