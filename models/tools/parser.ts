/**
 * Reads the calls of tools out of what a model says, piece by piece, in the format of its template.
 *
 * Why nothing is refused: a model may write anything. What is no call, or a broken one, is text.
 */
import type { ToolFormat } from '../backend.ts'
import { type Block, GemmaBlock, ListBlock, NamedBlock } from './blocks.ts'
import type { CallPart } from './call-reader.ts'
import { BARE_CALLS, CALL_MARKS } from './formats.ts'
import { beginningOf } from './mark.ts'

/** Some of a call: the first of each index has its name, all of them what is next of its arguments, JSON text. */
export type CallPiece = CallPart & { readonly index: number }
export type Heard = { readonly text: string; readonly calls: readonly CallPiece[] }

export interface ToolParser {
  push(text: string): Heard
  /** What was held back, since nothing more comes. */
  end(): Heard
}

/** @param names  of the tools that were offered: JSON without a mark is a call only if it names one of them */
export function createToolParser(format: ToolFormat, names: readonly string[]): ToolParser {
  const { open, close } = CALL_MARKS[format]
  if (open === undefined) {
    const offered = new Set(names)
    return new Parser(new BareStart(), () => new ListBlock(undefined, (name) => offered.has(name)))
  }
  const start = new Mark(open)
  if (format === 'gemma') return new Parser(start, () => new GemmaBlock(close ?? ''))
  return new Parser(start, () => (format === 'mistral11' ? new NamedBlock() : new ListBlock(close, () => true)))
}

/** Finds where calls begin. */
interface Start {
  /**
   * @param held  what has not been shown yet
   * @returns     how much of it is words, and how much behind them announces calls; no `mark` while nothing does
   */
  find(held: string): { readonly words: number; readonly mark?: number }
  /** Whether calls may begin behind words, or behind other calls. */
  readonly isAnywhere: boolean
}

class Mark implements Start {
  readonly isAnywhere = true
  readonly #open: string

  constructor(open: string) {
    this.#open = open
  }

  find(held: string): { readonly words: number; readonly mark?: number } {
    const at = held.indexOf(this.#open)
    return at < 0 ? { words: beginningOf(this.#open, held) } : { words: at, mark: this.#open.length }
  }
}

/** JSON without a mark is a call only where it is the first thing said. */
class BareStart implements Start {
  readonly isAnywhere = false

  find(held: string): { readonly words: number; readonly mark?: number } {
    const [head] = BARE_CALLS.start.exec(held) ?? []
    if (head !== undefined) return { words: 0, mark: head.length }
    return { words: BARE_CALLS.mayStart(held) ? 0 : held.length }
  }
}

class Parser implements ToolParser {
  readonly #start: Start
  readonly #createBlock: () => Block
  #block: Block | undefined
  #held = ''
  /** Since the mark of calls, without what has become a call: shown where it turns out to be none. */
  #raw = ''
  /** Space that is shown only when words follow it. */
  #space = ''
  #isOver = false
  #hasWords = false
  #isBehindCall = false
  #callCount = 0
  #text = ''
  #calls: CallPiece[] = []

  constructor(start: Start, createBlock: () => Block) {
    this.#start = start
    this.#createBlock = createBlock
  }

  push(text: string): Heard {
    this.#held += text
    while (this.#held !== '' && (this.#block === undefined ? this.#seek() : this.#read(this.#block))) {}
    return this.#taken()
  }

  end(): Heard {
    if (this.#block?.isTelling !== true) this.#say(this.#raw + this.#held)
    if (!this.#isBehindCall) this.#text += this.#space
    return this.#taken()
  }

  #taken(): Heard {
    const heard = { text: this.#text, calls: this.#calls }
    this.#text = ''
    this.#calls = []
    return heard
  }

  /** @returns whether calls have begun */
  #seek(): boolean {
    const { words, mark } = this.#isOver ? { words: this.#held.length } : this.#start.find(this.#held)
    if (words > 0 && !this.#start.isAnywhere) this.#isOver = true
    this.#say(this.#held.slice(0, words))
    this.#held = this.#held.slice(words)
    if (mark === undefined) return false
    this.#raw = this.#held.slice(0, mark)
    this.#held = this.#held.slice(mark)
    this.#block = this.#createBlock()
    return true
  }

  /** @returns whether the block is over */
  #read(block: Block): boolean {
    const { used, parts, state } = block.read(this.#held)
    this.#raw += this.#held.slice(0, used)
    this.#held = this.#held.slice(used)
    for (const part of parts) this.#tell(part)
    if (parts.length > 0 || block.isTelling) this.#raw = ''
    if (state === 'open') return false
    this.#block = undefined
    this.#isOver = !this.#start.isAnywhere
    if (state === 'broken') this.#say(this.#raw)
    this.#raw = ''
    return true
  }

  #tell(part: CallPart): void {
    if (part.name !== undefined) this.#callCount += 1
    this.#space = ''
    this.#isBehindCall = true
    this.#calls.push({ index: this.#callCount - 1, ...part })
  }

  /** Space beside a call belongs to neither words nor call; words behind one stand on a line of their own. */
  #say(text: string): void {
    const words = this.#isBehindCall ? text.trimStart() : this.#space + text
    const shown = words.trimEnd()
    this.#space = words.slice(shown.length)
    if (shown === '') return
    this.#text += this.#isBehindCall && this.#hasWords ? `\n${shown}` : shown
    this.#hasWords = true
    this.#isBehindCall = false
  }
}
