/** One choice of an answer as its job tells it: what of the text may be shown, and which tokens go with it. */
import type { TokenDetail } from '../../models/backend.ts'
import type { JobHandle, JobOutcome, JobProgress } from '../runtime/app.ts'
import type { PlacedToken } from './logprobs.ts'
import { StopFilter } from './stop-filter.ts'

export type Tokens = Extract<JobProgress, { type: 'tokens' }>
export type Finish = Extract<JobProgress, { type: 'finish' }>

const NO_TOKENS: readonly PlacedToken[] = []

export class Choice {
  readonly index: number
  readonly handle: JobHandle
  readonly #filter: StopFilter | undefined
  readonly #hasLogprobs: boolean
  /** Tokens whose text is not shown yet. */
  #held: PlacedToken[] = []
  #heardChars = 0
  #shownChars = 0
  #finish: Finish | undefined
  ending: JobOutcome | undefined

  constructor(index: number, handle: JobHandle, stop: readonly string[], hasLogprobs: boolean) {
    this.index = index
    this.handle = handle
    this.#filter = stop.length === 0 ? undefined : new StopFilter(stop)
    this.#hasLogprobs = hasLogprobs
  }

  /** The text is complete. */
  get isFinished(): boolean {
    return this.#finish !== undefined
  }

  get completionTokens(): number {
    return this.#finish?.completionTokens ?? 0
  }

  /** OpenAI has no word for an answer that was cut off from outside; `length` is what tells a client that it is not whole. */
  get finishReason(): 'stop' | 'length' {
    return this.#filter?.isCut === true || this.#finish?.finish === 'stop' ? 'stop' : 'length'
  }

  /** @returns  the text that may be shown now */
  hear(event: Tokens): string {
    if (this.#hasLogprobs && event.details !== undefined) this.#place(event.details, event.text.length)
    this.#heardChars += event.text.length
    return this.#show(this.#filter === undefined ? event.text : this.#filter.push(event.text))
  }

  /** @returns  the text that was held back and can be no stop string any more */
  conclude(finish: Finish): string {
    this.#finish = finish
    return this.#show(this.#filter?.flush() ?? '')
  }

  /** Tokens whose text has been shown at least in part since the last call; those that lie behind the cut never come. */
  release(): readonly PlacedToken[] {
    if (this.#held.length === 0) return NO_TOKENS
    const isAll = this.#shownChars === this.#heardChars && this.#filter?.isCut !== true
    const firstHeld = isAll ? -1 : this.#held.findIndex(({ offset }) => offset >= this.#shownChars)
    return this.#held.splice(0, firstHeld < 0 ? this.#held.length : firstHeld)
  }

  #show(text: string): string {
    this.#shownChars += text.length
    return text
  }

  /** Parts of a character have no text of their own: they begin where it does. */
  #place(details: readonly TokenDetail[], chars: number): void {
    let before = 0
    for (const detail of details) {
      this.#held.push({ detail, offset: this.#heardChars + Math.min(before, chars) })
      before += detail.text.length
    }
  }
}
