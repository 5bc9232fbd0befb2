/** Which jobs are let in: a place in the line by the priority of the key, a bound for each key, and budget before the hold. */
import { FabricError } from '../../core/errors.ts'
import { type JobId, parseJobId } from '../../core/ids.ts'
import { type KeyHold, type NodeGauges, PRIORITIES, type Priority } from '../runtime/access.ts'
import type { App, DirectTransfer, JobHandle, JobRequest, JobView } from '../runtime/app.ts'
import type { Clock, Random, TransferRow } from '../runtime/ports.ts'
import type { Budgets } from './budgets.ts'
import type { Caller } from './caller.ts'

/** Percent of the open jobs that requests of this priority may fill: the table that decides who is refused first. */
export const SHARE_PERCENT: Readonly<Record<Priority, number>> = { low: 50, normal: 90, high: 100 }

export type LimitOptions = { readonly openJobsMax: number }
export type LimitPorts = {
  readonly app: App
  readonly node: NodeGauges
  readonly budgets: Budgets
  readonly clock: Clock
  readonly random: Random
  /** Hears of each job once when it is let in and once when it has settled. */
  readonly admitted: (task: JobTask, promptTokens: number) => void
  readonly settled: (job: JobView) => void
}
export type JobTask = JobView['task']

type OpenJob = { readonly key: string; readonly hold: KeyHold | undefined }

const NONCE_BYTES = 8
/** How old the last look at the open jobs may be while nobody is refused. */
const SWEEP_MS = 1_000
/** Jobs that may have settled before somebody looks. */
const UNSEEN_COUNT_MAX = 512

/**
 * Nobody listens to jobs: those that are open are looked at when a place is asked for, at most once a second while there are places.
 * The journal knows what became of a job, so that looking late or again after a crash gives the same figures.
 */
export class Limits {
  readonly #options: LimitOptions
  readonly #ports: LimitPorts
  readonly #open = new Map<JobId, OpenJob>()
  /** Submissions under way, by key. */
  readonly #entering = new Map<string, number>()
  #enteringCount = 0
  /** The last spend under way, by idempotency key. */
  readonly #spends = new Map<string, Promise<unknown>>()
  #sweptMs = Number.NEGATIVE_INFINITY

  /** Takes over what an earlier run has left. */
  constructor(options: LimitOptions, ports: LimitPorts) {
    this.#options = options
    this.#ports = ports
    for (const hold of ports.budgets.unsettled()) this.#recover(hold)
  }

  /** @throws CF_JOB_QUEUE_FULL, CF_CONTROL_BUDGET_EXHAUSTED, and what the app throws */
  async submit(caller: Caller, request: JobRequest, signal: AbortSignal): Promise<JobHandle> {
    const { app, node } = this.#ports
    // The log admits a nonce once for ever: a repeat finds its job, costs nothing and needs no place.
    if (request.nonce !== undefined && node.jobOfNonce(request.nonce) !== undefined) return app.submit(request, signal)
    return this.#enter(caller, async () => {
      const { wish, hold } = await this.#reserve(caller, request)
      const handle = await app.submit(wish, signal).catch((error: unknown) => {
        if (hold !== undefined) this.#refused(hold, error)
        throw error
      })
      this.#track(caller, handle, request.input.task, hold)
      return handle
    })
  }

  /** An intent that was signed elsewhere is paid by who signed it: it needs a place, and no budget of the key. */
  async submitSigned(
    caller: Caller,
    envelope: Uint8Array,
    inputs: Uint8Array,
    signal: AbortSignal,
  ): Promise<JobHandle> {
    const { app } = this.#ports
    return this.#enter(caller, async () => {
      const handle = await app.submitSigned(envelope, inputs, signal)
      this.#track(caller, handle, app.job(handle.id)?.task ?? 'chat', undefined)
      return handle
    })
  }

  /** A spend is budget too. Of several at once with one idempotency key the first one spends and the others repeat it, in turn. */
  async spend(caller: Caller, transfer: DirectTransfer): Promise<TransferRow> {
    const { idempotencyKey: key } = transfer
    const before = this.#spends.get(key) ?? Promise.resolve()
    const turn = before.then(() =>
      caller.isKept ? this.#spendBudget(caller, transfer) : this.#ports.app.transfer(transfer),
    )
    const over = turn.catch(() => undefined)
    this.#spends.set(key, over)
    await over
    if (this.#spends.get(key) === over) this.#spends.delete(key)
    return turn
  }

  /** Why a crash on the way counts it as spent: whether it was is not worth a way around the budget. */
  async #spendBudget(caller: Caller, transfer: DirectTransfer): Promise<TransferRow> {
    const { app, budgets } = this.#ports
    const hold = await budgets.reserve(caller, transfer.amount, null)
    const newest = app.transfers({ limit: 1 })[0]?.sequence ?? -1n
    const row = await app.transfer(transfer).catch((error: unknown) => {
      if (isRefusal(error)) budgets.settle(hold, 0n)
      throw error
    })
    // A row from before is the answer to a repeat.
    budgets.settle(hold, row.sequence > newest ? row.amount : 0n)
    return row
  }

  /** Looks at what is open and settles what is over. */
  sweep(): void {
    this.#sweptMs = this.#nowMs()
    for (const [id, { hold }] of this.#open) {
      const job = this.#ports.app.job(id)
      if (job === undefined || job.phase !== 'settled' || job.cost === null) continue
      this.#open.delete(id)
      if (hold !== undefined) this.#ports.budgets.settle(hold, job.cost)
      this.#ports.settled(job)
    }
  }

  openIds(): readonly JobId[] {
    return [...this.#open.keys()]
  }

  openOf(key: string): number {
    let count = this.#entering.get(key) ?? 0
    for (const job of this.#open.values()) if (job.key === key) count += 1
    return count
  }

  /** Open jobs up to which requests of this priority are let in. */
  openMax(priority: Priority): number {
    return Math.max(1, Math.floor((this.#options.openJobsMax * SHARE_PERCENT[priority]) / 100))
  }

  openMaxima(): Readonly<Record<string, number>> {
    return Object.fromEntries(PRIORITIES.map((priority) => [priority, this.openMax(priority)]))
  }

  async #enter<T>(caller: Caller, work: () => Promise<T>): Promise<T> {
    const { id } = caller
    const isLate = this.#nowMs() - this.#sweptMs >= SWEEP_MS || this.#open.size >= UNSEEN_COUNT_MAX
    if (isLate || this.#refusal(caller) !== undefined) this.sweep()
    const refusal = this.#refusal(caller)
    if (refusal !== undefined) throw refusal
    this.#entering.set(id, (this.#entering.get(id) ?? 0) + 1)
    this.#enteringCount += 1
    try {
      return await work()
    } finally {
      const left = (this.#entering.get(id) ?? 1) - 1
      if (left === 0) this.#entering.delete(id)
      else this.#entering.set(id, left)
      this.#enteringCount -= 1
    }
  }

  #refusal({ id, limits }: Caller): FabricError | undefined {
    const { openJobsMax, priority } = limits
    if (openJobsMax !== null && this.openOf(id) >= openJobsMax)
      return new FabricError('CF_JOB_QUEUE_FULL', { line: 'key', jobs: openJobsMax })
    const jobs = Math.max(this.#ports.node.openJobs(), this.#open.size + this.#enteringCount)
    if (jobs >= this.openMax(priority)) return new FabricError('CF_JOB_QUEUE_FULL', { line: priority, jobs })
    return undefined
  }

  /** What the job could cost at most, reserved; a job of a key without a budget is only noted. */
  async #reserve(caller: Caller, request: JobRequest): Promise<{ wish: JobRequest; hold: KeyHold | undefined }> {
    const { app, budgets, random } = this.#ports
    const { budget, budgetPerDay } = caller.limits
    if (!caller.isKept) return { wish: request, hold: undefined }
    if (budget === null && budgetPerDay === null) return { wish: request, hold: budgets.note(caller) }
    const { hold: most } = await app.quote(request)
    // Its nonce is how the log is asked, after a crash, whether there was a job.
    const nonce = request.nonce ?? new DataView(random.bytes(NONCE_BYTES).buffer).getBigUint64(0)
    const hold = await budgets.reserve(caller, most, nonce)
    return { wish: { ...request, nonce }, hold }
  }

  #track(caller: Caller, handle: JobHandle, task: JobTask, hold: KeyHold | undefined): void {
    const { budgets, admitted } = this.#ports
    if (handle.repeated) {
      if (hold !== undefined) budgets.settle(hold, 0n)
      return
    }
    this.#open.set(handle.id, { key: caller.id, hold })
    admitted(task, handle.promptTokens)
  }

  /** After a refusal nothing was held; after anything else only the log can tell, and it is asked at the next start. */
  #refused(hold: KeyHold, error: unknown): void {
    const { budgets, node } = this.#ports
    const job = hold.nonce === null ? undefined : parseJobId(node.jobOfNonce(hold.nonce))
    // The nonce of another request, or a job that another request's hold pays for.
    if (isNonceUsed(error) || (job !== undefined && this.#open.has(job))) budgets.settle(hold, 0n)
    else if (job !== undefined) this.#open.set(job, { key: hold.key, hold })
    else if (isRefusal(error)) budgets.settle(hold, 0n)
  }

  #recover(hold: KeyHold): void {
    const { budgets, node } = this.#ports
    const job = hold.nonce === null ? undefined : parseJobId(node.jobOfNonce(hold.nonce))
    if (job !== undefined && !this.#open.has(job)) this.#open.set(job, { key: hold.key, hold })
    else budgets.settle(hold, hold.nonce === null ? hold.amount : 0n)
  }

  #nowMs(): number {
    return Number(this.#ports.clock.monotonicNs() / 1_000_000n)
  }
}

function isNonceUsed(error: unknown): boolean {
  return error instanceof FabricError && error.code === 'CF_JOB_NONCE_USED'
}

/** Refused before anything was written. */
function isRefusal(error: unknown): boolean {
  return error instanceof FabricError && !error.code.startsWith('CF_STORE_')
}
