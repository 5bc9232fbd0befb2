/** Turns token ids into text piece by piece, so that no piece ends inside a character. */
import type { DetokenizeRequest } from './backend.ts'

/**
 * @param before       ids that precede: whether a leading space belongs to the text depends on them
 * @param showControl  whether control tokens have a text
 */
export type Detokenize = (ids: readonly number[], before: readonly number[], showControl: boolean) => string

/** What decoders put for bytes that are no character, or not yet one: one for a whole unfinished character. */
export const REPLACEMENT = '\ufffd'
/** Bytes that never become a character are let go after this many ids. */
const HELD_IDS_MAX = 64
const BEFORE_IDS = 4

export class TextStream {
  readonly #detokenize: Detokenize
  readonly #showControl: boolean
  #before: readonly number[]
  /** Ids since the last one that ended with a character. */
  #held: readonly number[] = []
  /** How much of their text was given out. */
  #given = 0

  /** @param promptIds  what the text continues */
  constructor(detokenize: Detokenize, promptIds: readonly number[], showControl = false) {
    this.#detokenize = detokenize
    this.#showControl = showControl
    this.#before = promptIds.slice(-BEFORE_IDS)
  }

  /** @returns the text that no later id can change; empty while a character is unfinished */
  push(id: number): string {
    this.#held = [...this.#held, id]
    const text = this.#detokenize(this.#held, this.#before, this.#showControl)
    if (!text.endsWith(REPLACEMENT) || this.#held.length === HELD_IDS_MAX) return this.#release(text)
    const fresh = text.slice(this.#given, -REPLACEMENT.length)
    this.#given += fresh.length
    return fresh
  }

  /** @returns what is still held: bytes that never became a character show as U+FFFD */
  end(): string {
    return this.#held.length === 0 ? '' : this.#release(this.#detokenize(this.#held, this.#before, this.#showControl))
  }

  #release(text: string): string {
    const fresh = text.slice(this.#given)
    this.#before = [...this.#before, ...this.#held].slice(-BEFORE_IDS)
    this.#held = []
    this.#given = 0
    return fresh
  }
}

/**
 * Says what a generation gave out for these ids.
 *
 * @param stopIds  one of them ends an output, and has no text
 */
export function outputText(
  detokenize: Detokenize,
  { promptIds, outputIds, showControl = false }: DetokenizeRequest,
  stopIds: readonly number[],
): string {
  const stream = new TextStream(detokenize, [...promptIds.subarray(-BEFORE_IDS)], showControl)
  const said: string[] = []
  for (const id of outputIds) {
    if (stopIds.includes(id)) break
    said.push(stream.push(id))
  }
  return [...said, stream.end()].join('')
}
