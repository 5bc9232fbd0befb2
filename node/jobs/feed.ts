/** What listeners hear of one job: from the beginning, in order, within a bound, ending with exactly one outcome. */
import type { JobProgress } from '../runtime/app.ts'

/** Phases and control events beside the tokens; token batches are bounded by the job's max tokens. */
const CONTROL_EVENTS_MAX = 64

export class JobFeed {
  readonly #history: JobProgress[] = []
  readonly #eventCountMax: number
  #wake: (() => void)[] = []
  #closed = false

  constructor(maxTokens: number) {
    this.#eventCountMax = maxTokens + CONTROL_EVENTS_MAX
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Events after the outcome, and beyond the bound, are dropped: the outcome itself always fits. */
  push(progress: JobProgress): void {
    if (this.#closed) return
    const last = progress.type === 'outcome'
    if (!last && this.#history.length >= this.#eventCountMax) return
    this.#history.push(progress)
    this.#closed = last
    const waiting = this.#wake
    this.#wake = []
    for (const wake of waiting) wake()
  }

  async *listen(signal: AbortSignal): AsyncIterable<JobProgress> {
    let next = 0
    while (!signal.aborted) {
      const progress = this.#history[next]
      if (progress !== undefined) {
        next += 1
        yield progress
        if (progress.type === 'outcome') return
      } else if (this.#closed) return
      else await this.#moreOr(signal)
    }
  }

  #moreOr(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.#wake.push(done)
      signal.addEventListener('abort', done, { once: true })
    })
  }
}
