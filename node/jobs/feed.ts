/** What listeners hear of one job: from the beginning, in order, within a bound, ending with exactly one outcome. */
import type { JobProgress } from '../runtime/app.ts'
import { detailBytes } from './details.ts'
import { FeedListener } from './feed-listener.ts'

/** Phases and control events beside the tokens; token batches are bounded by the job's max tokens. */
const CONTROL_EVENTS_MAX = 64
/** What one feed keeps of likelihoods; a token behind it is shown without. */
const DETAIL_BYTES_MAX = 8 * 2 ** 20
const EVENT_BYTES = 128

export class JobFeed {
  readonly #history: JobProgress[] = []
  readonly #eventCountMax: number
  readonly #listeners = new Set<FeedListener>()
  #closed = false
  #detailBytes = 0
  #bytes = 0

  constructor(maxTokens: number) {
    this.#eventCountMax = maxTokens + CONTROL_EVENTS_MAX
  }

  get closed(): boolean {
    return this.#closed
  }

  /** Memory that its history takes, an estimate. */
  get bytes(): number {
    return this.#bytes
  }

  /** Events after the outcome, and beyond the bound, are dropped: the outcome itself always fits. */
  push(progress: JobProgress): void {
    if (this.#closed) return
    const last = progress.type === 'outcome'
    if (!last && this.#history.length >= this.#eventCountMax) return
    const kept = this.#lightened(progress)
    this.#history.push(kept)
    this.#bytes += bytesOf(kept)
    this.#closed = last
    for (const listener of this.#listeners) listener.wake()
  }

  listen(signal: AbortSignal): AsyncIterable<JobProgress> {
    const listener = new FeedListener(this.#history, signal, (left) => this.#listeners.delete(left))
    if (!listener.isOver) this.#listeners.add(listener)
    return listener
  }

  #lightened(progress: JobProgress): JobProgress {
    if (progress.type !== 'tokens' || progress.details === undefined) return progress
    const bytes = detailBytes(progress.details)
    if (this.#detailBytes + bytes > DETAIL_BYTES_MAX) {
      const { details: _, ...bare } = progress
      return bare
    }
    this.#detailBytes += bytes
    return progress
  }
}

function bytesOf(progress: JobProgress): number {
  switch (progress.type) {
    case 'tokens':
      return EVENT_BYTES + 8 * progress.ids.length + 2 * progress.text.length + detailBytes(progress.details ?? [])
    case 'vectors':
      return EVENT_BYTES + progress.vectors.reduce((sum, { byteLength }) => sum + byteLength, 0)
    default:
      return EVENT_BYTES
  }
}
