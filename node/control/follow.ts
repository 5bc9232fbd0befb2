/** A job's progress for one listener, which always ends in exactly one outcome. */
import type { JobHandle, JobOutcome, JobProgress } from '../runtime/app.ts'
import type { Clock } from '../runtime/ports.ts'
import { type LinkedSignal, linkedSignal } from './linked-signal.ts'

type Step = IteratorResult<JobProgress, void>

const LATE = Symbol('late')
const END: Step = { done: true, value: undefined }

/**
 * Tells what happens to the job, and `pending` in place of an outcome that is not in within `outcomeWaitMs` of the finish.
 *
 * Why only from the finish on: the text may take long and is bounded by the job's own deadline; a client that has the text must not wait
 * for validators.
 */
export function follow(
  handle: JobHandle,
  outcomeWaitMs: number,
  clock: Clock,
  signal: AbortSignal,
): AsyncIterableIterator<JobProgress, void> {
  return new Following(handle, outcomeWaitMs, clock, signal)
}

/** By hand, not as a generator: one runs for each client, and a generator makes three more promises for each token. */
class Following implements AsyncIterableIterator<JobProgress, void> {
  readonly #handle: JobHandle
  readonly #outcomeWaitMs: number
  readonly #clock: Clock
  readonly #signal: AbortSignal
  readonly #both: LinkedSignal
  readonly #events: AsyncIterator<JobProgress, unknown>
  #late: Promise<typeof LATE> | undefined
  #hasEnded = false

  constructor(handle: JobHandle, outcomeWaitMs: number, clock: Clock, signal: AbortSignal) {
    this.#handle = handle
    this.#outcomeWaitMs = outcomeWaitMs
    this.#clock = clock
    this.#signal = signal
    this.#both = linkedSignal(signal)
    this.#events = handle.progress(this.#both.signal)[Symbol.asyncIterator]()
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<Step> {
    if (this.#hasEnded) return Promise.resolve(END)
    const next = this.#events.next()
    if (this.#late === undefined) return next.then(this.#take, this.#fail)
    // When the wait ends first, nobody is left to see this promise fail.
    next.catch(() => undefined)
    return Promise.race([next, this.#late]).then(this.#take, this.#fail)
  }

  async return(): Promise<Step> {
    this.#end()
    return END
  }

  readonly #take = (step: IteratorResult<JobProgress, unknown> | typeof LATE): Step => {
    if (this.#signal.aborted) return this.#fail(this.#signal.reason)
    if (step === LATE || step.done === true) {
      this.#end()
      return { done: false, value: { type: 'outcome', ...pendingOutcome(this.#handle) } }
    }
    if (step.value.type === 'outcome') this.#end()
    else if (step.value.type === 'finish') this.#late = this.#lateAfter()
    return step
  }

  readonly #fail = (reason: unknown): never => {
    this.#end()
    throw reason
  }

  #end(): void {
    this.#hasEnded = true
    this.#both.abort()
  }

  async #lateAfter(): Promise<typeof LATE> {
    // A listener that leaves aborts the sleep; nobody awaits this any more then.
    await this.#clock.sleep(this.#outcomeWaitMs, this.#both.signal).catch(() => undefined)
    return LATE
  }
}

function pendingOutcome(handle: JobHandle): JobOutcome {
  return { outcome: 'pending', assurance: '', reason: '', receiptId: handle.id, cost: 0n, refund: 0n }
}
