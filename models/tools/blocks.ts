/** What follows the mark of calls, in each of the ways that models write it. */
import { type CallPart, CallReader } from './call-reader.ts'
import { jsonOfGemma } from './gemma.ts'

export type BlockRead = {
  /** Characters that were taken. */
  readonly used: number
  readonly parts: readonly CallPart[]
  /** `broken`: no call after all, or none any more. */
  readonly state: 'open' | 'done' | 'broken'
}

export interface Block {
  /** What was taken last belongs to a call that has been passed on, at least in part. */
  readonly isTelling: boolean
  /** @param held  what comes next; what is not used comes again */
  read(held: string): BlockRead
}

const OPEN: BlockRead = { used: 0, parts: [], state: 'open' }
const BROKEN: BlockRead = { used: 0, parts: [], state: 'broken' }
const BETWEEN = /^[\s,;[\]`]+/

/** Objects, alone or in a list, up to a closing mark or to what is none of it. */
export class ListBlock implements Block {
  readonly #close: string | undefined
  readonly #isName: (name: string) => boolean
  #reader: CallReader | undefined
  #hasCalls = false
  /** Nothing has come since a call but what may stand between calls. */
  #isBehindCall = false

  constructor(close: string | undefined, isName: (name: string) => boolean) {
    this.#close = close
    this.#isName = isName
  }

  get isTelling(): boolean {
    return this.#reader?.isTold === true || this.#isBehindCall
  }

  read(held: string): BlockRead {
    const parts: CallPart[] = []
    for (let used = 0; ; ) {
      const rest = held.slice(used)
      if (this.#reader === undefined) {
        const [space = ''] = BETWEEN.exec(rest) ?? []
        const end = this.#endOf(rest.slice(space.length))
        used += space.length
        if (end !== undefined) return { ...end, used: used + end.used, parts }
        this.#reader = new CallReader(this.#isName)
        this.#isBehindCall = false
        continue
      }
      const call = this.#reader.read(rest)
      used += call.used
      parts.push(...call.parts)
      if (call.state === 'open') return { used, parts, state: 'open' }
      this.#reader = undefined
      if (call.state === 'other') return { used, parts, state: 'broken' }
      this.#hasCalls = true
      this.#isBehindCall = true
    }
  }

  /** @returns undefined where another call begins */
  #endOf(rest: string): BlockRead | undefined {
    if (rest.startsWith('{')) return undefined
    const close = this.#close
    if (rest === '' || (close?.startsWith(rest) === true && rest !== close)) return OPEN
    if (close !== undefined && rest.startsWith(close)) return { used: close.length, parts: [], state: 'done' }
    return close === undefined && this.#hasCalls ? { ...OPEN, state: 'done' } : BROKEN
  }
}

const NAMED = /^\s*([^\s[\]{}]{1,64})(?:\[CALL_ID\][^\s[\]{}]{1,64})?(?:\[ARGS\])?\s*(?=\{)/
const NAMED_CHARS_MAX = 256
const NEVER_NAMED = /[{}\n]/

/** One call: its name, then an object that is nothing but its arguments. */
export class NamedBlock implements Block {
  #reader: CallReader | undefined

  get isTelling(): boolean {
    return this.#reader !== undefined
  }

  read(held: string): BlockRead {
    if (this.#reader !== undefined) return this.#arguments(this.#reader, held)
    const match = NAMED.exec(held)
    if (match === null) return held.length > NAMED_CHARS_MAX || NEVER_NAMED.test(held.trimStart()) ? BROKEN : OPEN
    const [head, name = ''] = match
    this.#reader = new CallReader(() => true, name)
    const { used, parts, state } = this.#arguments(this.#reader, held.slice(head.length))
    return { used: head.length + used, parts: [{ name, arguments: '' }, ...parts], state }
  }

  #arguments(reader: CallReader, held: string): BlockRead {
    const { used, parts, state } = reader.read(held)
    if (state !== 'open') this.#reader = undefined
    return { used, parts, state: state === 'other' ? 'broken' : state }
  }
}

const GEMMA_CALL = /^\s*call:\s*([^\s{]{1,64})\s*(\{[\s\S]*\})\s*$/

/** One call up to its closing mark, in a notation that is read as a whole. */
export class GemmaBlock implements Block {
  readonly isTelling = false
  readonly #close: string

  constructor(close: string) {
    this.#close = close
  }

  read(held: string): BlockRead {
    const at = held.indexOf(this.#close)
    if (at < 0) return OPEN
    const [, name = '', given = ''] = GEMMA_CALL.exec(held.slice(0, at)) ?? []
    const json = jsonOfGemma(given)
    const used = at + this.#close.length
    if (json === undefined) return { used, parts: [], state: 'broken' }
    return { used, parts: [{ name, arguments: json }], state: 'done' }
  }
}
