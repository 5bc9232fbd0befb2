/**
 * Drives job machines: event -> step -> journal -> effects. One shape at every step, so a restart is only `owed` of what the
 * journal holds. Events of one job are handled one after another; jobs do not wait for each other.
 */
import { FabricError } from '../../core/errors.ts'
import type { JobId } from '../../core/ids.ts'
import { type Effect, effectKey, type Job, type JobEvent, type Phase } from '../../core/job/job.ts'
import { step } from '../../core/job/machine.ts'
import { owed } from '../../core/job/owed.ts'
import type { Clock } from './ports.ts'

export type LoopOptions = {
  /** Jobs that are not settled; more are refused with CF_JOB_QUEUE_FULL. */
  readonly jobCountMax: number
  /** First wait before an effect that did not succeed is tried again; doubles up to `retryMsMax`. */
  readonly retryMs: number
  readonly retryMsMax: number
  /** How often open jobs hear the time. */
  readonly tickMs: number
}

/** What an effect brought: events for the job, or the wish to be tried again. */
export type Performed = { readonly events: readonly JobEvent[]; readonly journaled: boolean } | 'retry'

export type LoopPorts = {
  readonly clock: Clock
  /** Durable when it resolves. */
  readonly journal: (job: Job) => Promise<void>
  /** Must be safe to repeat; ends soon after the signal aborts. */
  readonly perform: (job: Job, effect: Effect, signal: AbortSignal) => Promise<Performed>
  readonly changed: (before: Job, after: Job) => void
  /** A bug or a broken disk: the daemon stops, the journal has everything that was acknowledged. */
  readonly fatal: (error: unknown) => void
}

type Entry = {
  job: Job
  readonly inbox: { readonly event: JobEvent; readonly journaled: boolean; readonly attempt: number | undefined }[]
  draining: boolean
  /** The job has changed, or a run of an effect has been aborted, since what is owed was last started. */
  unstarted: boolean
  readonly running: Map<string, AbortController>
}

/** Events that a crash may forget: the work they speak of is done again anyway. */
const VOLATILE: ReadonlySet<JobEvent['type']> = new Set(['streaming', 'delivered', 'answered', 'silent'])

/**
 * Events that a crash may forget with the phase that they lead to.
 *
 * Why a certified assignment is one: the row before it holds the assignment, and a quorum holds its votes on disk. Asked again, the
 * same validators repeat the same votes, and the entry that makes the assignment count brings the job's row with it.
 */
const REPEATED: ReadonlySet<JobEvent['type']> = new Set(['assignment-certified'])

/**
 * Phases whose work begins while their row is on its way to the disk; what the work brings is not looked at before the row is there.
 *
 * Why voting on an assignment may: like a leader that writes its own disk while it asks others to write theirs (Ongaro, 2014, 10.2.1).
 * The votes speak for nobody but their validators, who write them before they send them. An edge that dies in between has lost no
 * more than it would by dying before the row: its job is offered again, and if a quorum has by then signed the assignment that
 * nobody knows any more, it ends refunded at its deadline. With one database for all roles that cannot be: it takes writes in the
 * order in which they came, so votes are on disk with the row or not at all.
 */
const EARLY: ReadonlySet<Phase> = new Set(['proposed'])

export class JobLoop {
  readonly #options: LoopOptions
  readonly #ports: LoopPorts
  readonly #entries = new Map<JobId, Entry>()
  readonly #stopped = new AbortController()

  constructor(options: LoopOptions, ports: LoopPorts) {
    this.#options = options
    this.#ports = ports
  }

  /** Tells open jobs the time until the loop stops. */
  async run(): Promise<void> {
    while (!this.#stopped.signal.aborted) {
      const nowMs = this.#ports.clock.nowMs()
      for (const id of [...this.#entries.keys()]) this.dispatch(id, { type: 'tick', nowMs })
      await this.#ports.clock.sleep(this.#options.tickMs, this.#stopped.signal).catch(() => undefined)
    }
  }

  get openCount(): number {
    return this.#entries.size
  }

  job(id: JobId): Job | undefined {
    return this.#entries.get(id)?.job
  }

  ids(): readonly JobId[] {
    return [...this.#entries.keys()]
  }

  /** @throws FabricError CF_JOB_QUEUE_FULL; call before the hold is proposed */
  admit(): void {
    if (this.#stopped.signal.aborted) throw new FabricError('CF_CONTROL_SHUTTING_DOWN')
    if (this.#entries.size >= this.#options.jobCountMax)
      throw new FabricError('CF_JOB_QUEUE_FULL', { jobs: this.#entries.size })
  }

  /** Takes over a job that the journal already holds, new or found after a restart. */
  adopt(job: Job): void {
    if (job.phase === 'settled' || this.#entries.has(job.id)) return
    const entry: Entry = { job, inbox: [], draining: false, unstarted: true, running: new Map() }
    this.#entries.set(job.id, entry)
    this.#startOwed(entry)
  }

  /**
   * @param journaled  true when the state after this event is on disk already
   * @param attempt    the attempt that the event speaks of; a job that has gone on to another does not hear it
   */
  dispatch(id: JobId, event: JobEvent, journaled = false, attempt?: number): void {
    this.#deliver(id, [event], journaled, attempt)
  }

  #deliver(id: JobId, events: readonly JobEvent[], journaled: boolean, attempt: number | undefined): void {
    const entry = this.#entries.get(id)
    if (entry === undefined) return
    entry.inbox.push(...events.map((event) => ({ event, journaled, attempt })))
    if (!entry.draining) void this.#drain(entry).catch((error) => this.#ports.fatal(error))
  }

  /** Aborts running effects; nothing is lost, the journal owes them again. */
  stop(): void {
    this.#stopped.abort(new FabricError('CF_CONTROL_SHUTTING_DOWN'))
    for (const entry of this.#entries.values())
      for (const controller of entry.running.values()) controller.abort(this.#stopped.signal.reason)
    this.#entries.clear()
  }

  /** Never runs twice at once for one job: two events would else be stepped from one old state. */
  async #drain(entry: Entry): Promise<void> {
    entry.draining = true
    try {
      while (entry.inbox.length > 0) {
        const before = entry.job
        let durable = true
        let after = before
        for (const { event, journaled, attempt } of entry.inbox.splice(0)) {
          if (attempt !== undefined && attempt !== after.attempt) continue
          const next = step(after, event)
          const isForgettable = REPEATED.has(event.type) || (VOLATILE.has(event.type) && next.phase === after.phase)
          const needsDisk = !journaled && !isForgettable
          if (next !== after && needsDisk) durable = false
          after = next
        }
        if (after !== before) await this.#become(entry, after, durable)
        // While events wait, one of them may be what an effect has just brought: that effect would be started a second time.
        if (entry.inbox.length === 0 && entry.unstarted) this.#startOwed(entry)
      }
    } finally {
      entry.draining = false
    }
  }

  async #become(entry: Entry, after: Job, durable: boolean): Promise<void> {
    const before = entry.job
    const written = durable ? undefined : this.#ports.journal(after)
    const isEarly = EARLY.has(after.phase) && entry.inbox.length === 0
    if (!isEarly) await written
    entry.job = after
    entry.unstarted = true
    if (isEarly) this.#startOwed(entry)
    if (isEarly) await written
    this.#ports.changed(before, after)
  }

  /** Starts what is owed and not running, aborts what runs and is not owed any more. */
  #startOwed(entry: Entry): void {
    entry.unstarted = false
    const { attempt } = entry.job
    const due = new Map(owed(entry.job).map((effect) => [`${attempt}/${effectKey(effect)}`, effect]))
    for (const [key, controller] of entry.running)
      if (!due.has(key)) controller.abort(new FabricError('CF_JOB_EXPIRED', { effect: key }))
    if (entry.job.phase === 'settled') this.#entries.delete(entry.job.id)
    if (this.#stopped.signal.aborted) return
    for (const [key, effect] of due) {
      if (entry.running.has(key)) continue
      const controller = new AbortController()
      entry.running.set(key, controller)
      void this.#perform(entry, key, effect, controller).catch((error) => this.#ports.fatal(error))
    }
  }

  /** What was aborted may be owed again, as a settlement is after a dispute; until its old run had ended nobody could start it. */
  #restart(entry: Entry): void {
    if (this.#entries.get(entry.job.id) !== entry) return
    entry.unstarted = true
    if (!entry.draining) this.#startOwed(entry)
  }

  async #perform(entry: Entry, key: string, effect: Effect, controller: AbortController): Promise<void> {
    let waitMs = this.#options.retryMs
    try {
      while (!controller.signal.aborted) {
        const { job } = entry
        const performed = await this.#ports.perform(job, effect, controller.signal)
        if (performed !== 'retry') {
          // Leave the map first: the events may owe the same effect again. All of them at once: between two the effect would be.
          entry.running.delete(key)
          // A row that was written meanwhile, such as that of a deadline, may lie over the one that the effect wrote.
          const isLastRow = entry.job === job && !entry.draining
          this.#deliver(job.id, performed.events, performed.journaled && isLastRow, job.attempt)
          return
        }
        await this.#ports.clock.sleep(waitMs, controller.signal).catch(() => undefined)
        waitMs = Math.min(waitMs * 2, this.#options.retryMsMax)
      }
    } finally {
      if (entry.running.get(key) === controller) entry.running.delete(key)
      if (controller.signal.aborted) this.#restart(entry)
    }
  }
}
