/** One choice of an answer as its job tells it: what of it may be shown, what that is, and which tokens go with it. */
import type { TokenDetail } from '../../models/backend.ts'
import type { CallPiece } from '../../models/tools/parser.ts'
import type { JobHandle, JobOutcome, JobProgress } from '../runtime/app.ts'
import type { PlacedToken } from './logprobs.ts'
import { joined, type Listener, type Piece, PLAIN_LISTENER } from './speech.ts'
import { StopFilter } from './stop-filter.ts'

export type Tokens = Extract<JobProgress, { type: 'tokens' }>
export type Finish = Extract<JobProgress, { type: 'finish' }>

/** How the choices of an answer are read. */
export type Reading = {
  readonly stop: readonly string[]
  readonly hasLogprobs: boolean
  /** Made anew for each choice; absent: all that is said is for the user. */
  readonly listener?: () => Listener
  /** Whether calls after the first are shown; absent: they are. */
  readonly hasManyCalls?: boolean
}

const NO_TOKENS: readonly PlacedToken[] = []

export class Choice {
  readonly index: number
  readonly handle: JobHandle
  readonly #filter: StopFilter | undefined
  readonly #listener: Listener
  readonly #reading: Reading
  /** Tokens whose text is not shown yet. */
  #held: PlacedToken[] = []
  #heardChars = 0
  #shownChars = 0
  #finish: Finish | undefined
  #hasCalled = false
  ending: JobOutcome | undefined

  constructor(index: number, handle: JobHandle, reading: Reading) {
    this.index = index
    this.handle = handle
    this.#filter = reading.stop.length === 0 ? undefined : new StopFilter(reading.stop)
    this.#listener = reading.listener?.() ?? PLAIN_LISTENER
    this.#reading = reading
  }

  /** The text is complete. */
  get isFinished(): boolean {
    return this.#finish !== undefined
  }

  get completionTokens(): number {
    return this.#finish?.completionTokens ?? 0
  }

  /** OpenAI has no word for an answer that was cut off from outside; `length` is what tells a client that it is not whole. */
  get finishReason(): 'stop' | 'length' | 'tool_calls' {
    if (this.#filter?.isCut !== true && this.#finish?.finish !== 'stop') return 'length'
    return this.#hasCalled ? 'tool_calls' : 'stop'
  }

  /** A repeated request is the same jobs, and so has the same calls. */
  callId(index: number): string {
    return `call_${this.handle.id.slice(0, CALL_ID_CHARS)}_${index}`
  }

  /** @returns  what may be shown now */
  hear(event: Tokens): Piece {
    if (this.#reading.hasLogprobs && event.details !== undefined) this.#place(event.details, event.text.length)
    this.#heardChars += event.text.length
    return this.#show(
      this.#listener.push(this.#passed(this.#filter === undefined ? event.text : this.#filter.push(event.text))),
    )
  }

  /** @returns  what was held back and can be the beginning of nothing any more */
  conclude(finish: Finish): Piece {
    this.#finish = finish
    const rest = this.#listener.push(this.#passed(this.#filter?.flush() ?? ''))
    return this.#show(joined(rest, this.#listener.end()))
  }

  /** Tokens whose text has been shown at least in part since the last call; those that lie behind the cut never come. */
  release(): readonly PlacedToken[] {
    if (this.#held.length === 0) return NO_TOKENS
    const isAll = this.#shownChars === this.#heardChars && this.#filter?.isCut !== true
    const firstHeld = isAll ? -1 : this.#held.findIndex(({ offset }) => offset >= this.#shownChars)
    return this.#held.splice(0, firstHeld < 0 ? this.#held.length : firstHeld)
  }

  #passed(text: string): string {
    this.#shownChars += text.length
    return text
  }

  #show(piece: Piece): Piece {
    if (piece.calls.length === 0) return piece
    this.#hasCalled = true
    return this.#reading.hasManyCalls === false ? { ...piece, calls: piece.calls.filter(isOfFirst) } : piece
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

/** Digits of the job's id that name its calls. */
const CALL_ID_CHARS = 24

function isOfFirst({ index }: CallPiece): boolean {
  return index === 0
}
