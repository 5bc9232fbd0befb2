/** One listener of a feed. */
import type { JobProgress } from '../runtime/app.ts'

type Step = IteratorResult<JobProgress, void>
const END: Step = { done: true, value: undefined }

/**
 * Tells a feed's history from the beginning to its outcome, and ends early when the signal aborts.
 *
 * Why by hand, not as a generator: one of these runs for each client, and a generator that waits for the next event makes several promises
 * and a listener on the signal for each token.
 */
export class FeedListener implements AsyncIterableIterator<JobProgress, void> {
  readonly #history: readonly JobProgress[]
  readonly #signal: AbortSignal
  readonly #leave: (listener: FeedListener) => void
  #told = 0
  #isOver = false
  #waiting: ((step: Step) => void) | undefined

  /** @param leave  called once, when nothing more will be told */
  constructor(history: readonly JobProgress[], signal: AbortSignal, leave: (listener: FeedListener) => void) {
    this.#history = history
    this.#signal = signal
    this.#leave = leave
    if (signal.aborted) this.#isOver = true
    else signal.addEventListener('abort', this.#end, { once: true })
  }

  get isOver(): boolean {
    return this.#isOver
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  next(): Promise<Step> {
    const step = this.#step()
    if (step !== undefined) return Promise.resolve(step)
    return new Promise((resolve) => {
      this.#waiting = resolve
    })
  }

  async return(): Promise<Step> {
    this.#end()
    return END
  }

  /** There is something new in the history. */
  wake(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    this.#waiting = undefined
    waiting(this.#step() ?? END)
  }

  #step(): Step | undefined {
    if (this.#isOver) return END
    const value = this.#history[this.#told]
    if (value === undefined) return undefined
    this.#told += 1
    if (value.type === 'outcome') this.#end()
    return { done: false, value }
  }

  readonly #end = (): void => {
    if (this.#isOver) return
    this.#isOver = true
    this.#signal.removeEventListener('abort', this.#end)
    this.#leave(this)
    this.#waiting?.(END)
    this.#waiting = undefined
  }
}
