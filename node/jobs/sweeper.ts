/** Gives back what a job holds whose deadline has passed while nobody settled it: its edge may be gone for good. */
import { FabricError } from '../../core/errors.ts'
import type { JobId } from '../../core/ids.ts'
import { CHOSEN_NONE } from '../../core/ledger/settlement.ts'
import { settlementEntryCodec } from '../../core/log/bodies-certified.ts'
import { expiryOf } from '../../core/log/settling.ts'
import type { LoggedJob } from '../../core/log/state.ts'
import type { Clock, Store } from '../runtime/ports.ts'
import type { StateLedger } from '../stores/ledger-core.ts'

export type SweeperOptions = {
  /** From a job's deadline to its sweeping: its edge comes first. */
  readonly graceMs?: number
  readonly tickMs?: number
  /** Refunds of one tick. */
  readonly batchCountMax?: number
}
export type SweeperPorts = { readonly ledger: StateLedger; readonly store: Store; readonly clock: Clock }

const DEFAULTS = { graceMs: 2_000, tickMs: 500, batchCountMax: 64 } satisfies Required<SweeperOptions>
/** Deadlines kept in memory; more wait in the store until these are settled. */
const DUE_COUNT_MAX = 100_000

/** On the nodes that hold the log: the refund follows from the log alone, so whoever comes first is right. */
export class Sweeper {
  readonly #options: Required<SweeperOptions>
  readonly #ports: SweeperPorts
  /** Deadlines of jobs that are not settled, milliseconds of log time. */
  readonly #due = new Map<JobId, number>()
  readonly #stop: () => void

  constructor(options: SweeperOptions, ports: SweeperPorts) {
    this.#options = { ...DEFAULTS, ...options }
    this.#ports = ports
    this.#stop = ports.ledger.onApplied(({ jobId }) => {
      if (jobId !== null) this.#note(ports.ledger.state.jobs.get(jobId))
    })
    this.#reload()
  }

  /** Sweeps until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#ports
    while (!signal.aborted) {
      await this.sweep(clock.nowMs())
      await clock.sleep(this.#options.tickMs, signal).catch(() => {})
    }
    this.#stop()
  }

  /** Refunds what is due. A log that does not answer now is asked again at the next tick. */
  async sweep(nowMs: number): Promise<void> {
    const { graceMs, batchCountMax } = this.#options
    const due = [...this.#due].filter(([, deadlineMs]) => deadlineMs + graceMs <= nowMs).slice(0, batchCountMax)
    await Promise.all(due.map(([id]) => this.#refund(id).catch(laterUnlessBug)))
    if (this.#due.size === 0 && due.length > 0) this.#reload()
  }

  async #refund(id: JobId): Promise<void> {
    const { state } = this.#ports.ledger
    const job = state.jobs.get(id)
    this.#note(job)
    if (job === undefined || job.phase === 'settled') return
    const { outcome, reason, attempt } = expiryOf(state, job)
    const none = { bitmap: 0, signatures: new Uint8Array() }
    const entry = { jobId: id, attempt, outcome, reason, chosen: CHOSEN_NONE, authority: 'expiry', ...none } as const
    await this.#ports.ledger.append('settlement', settlementEntryCodec.encode(entry))
    this.#note(state.jobs.get(id))
  }

  #note(job: LoggedJob | undefined): void {
    if (job === undefined) return
    if (job.phase === 'settled') this.#due.delete(job.id)
    else if (this.#due.size < DUE_COUNT_MAX) this.#due.set(job.id, Number(job.deadlineMs))
  }

  #reload(): void {
    for (const { id, deadlineMs } of this.#ports.store.unsettledJobs(DUE_COUNT_MAX)) this.#due.set(id, deadlineMs)
  }
}

function laterUnlessBug(error: unknown): void {
  if (!(error instanceof FabricError)) throw error
}
