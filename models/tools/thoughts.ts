/** Tells what a model thinks first from what it then says. */
import type { ThinkFormat } from '../backend.ts'
import { beginningOf } from './mark.ts'

export type Told = { readonly reasoning: string; readonly text: string }

export interface ThoughtSplitter {
  push(text: string): Told
  /** What was held back, since nothing more comes. */
  end(): Told
}

/** @param startsOpen  the prompt ends with the opening mark */
export function createThoughtSplitter(format: ThinkFormat, startsOpen: boolean): ThoughtSplitter {
  return new Splitter(format, startsOpen)
}

class Splitter implements ThoughtSplitter {
  readonly #format: ThinkFormat
  /** `start`: a mark may still open thoughts; space around thoughts belongs to neither them nor the text. */
  #state: 'start' | 'thinking' | 'after' | 'text' = 'start'
  readonly #startsOpen: boolean
  #hasThought = false
  #held = ''

  constructor(format: ThinkFormat, startsOpen: boolean) {
    this.#format = format
    this.#startsOpen = startsOpen
  }

  push(piece: string): Told {
    this.#held += piece
    let [reasoning, text] = ['', '']
    if (this.#state === 'start') this.#begin()
    if (this.#state === 'thinking') reasoning = this.#think()
    if (this.#state === 'after') this.#skip()
    if (this.#state === 'text') {
      text = this.#held
      this.#held = ''
    }
    return { reasoning, text }
  }

  end(): Told {
    const isThought = this.#state === 'thinking' || (this.#state === 'start' && this.#startsOpen)
    const rest = isThought ? this.#held.trimEnd() : this.#held
    this.#held = ''
    return isThought ? { reasoning: rest, text: '' } : { reasoning: '', text: this.#state === 'after' ? '' : rest }
  }

  /** The mark that opens thoughts stands first; some models repeat one that their prompt has already. */
  #begin(): void {
    const said = this.#held.trimStart()
    const { open } = this.#format
    if (said === '' || (open.startsWith(said) && said !== open)) return
    if (said.startsWith(open)) this.#held = said.slice(open.length)
    else if (this.#startsOpen) this.#held = said
    this.#state = said.startsWith(open) || this.#startsOpen ? 'thinking' : 'text'
  }

  #think(): string {
    const { close } = this.#format
    if (!this.#hasThought) this.#held = this.#held.trimStart()
    const at = this.#held.indexOf(close)
    if (at >= 0) return this.#thought(at, at + close.length, 'after')
    const beginning = this.#held.slice(0, beginningOf(close, this.#held))
    const until = beginning.trimEnd().length
    return this.#thought(until, until, 'thinking')
  }

  #thought(until: number, next: number, state: 'thinking' | 'after'): string {
    const thought = this.#held.slice(0, until)
    this.#held = this.#held.slice(next)
    this.#state = state
    this.#hasThought ||= thought !== ''
    return state === 'after' ? thought.trimEnd() : thought
  }

  #skip(): void {
    this.#held = this.#held.trimStart()
    if (this.#held !== '') this.#state = 'text'
  }
}
