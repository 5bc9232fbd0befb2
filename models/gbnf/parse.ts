/**
 * Reads GBNF, llama.cpp's way to write a grammar, into a flat form: what native/engine/gbnf.cc does, for the driver without it.
 *
 * Known: rules, literals, classes, `.`, groups, `|`, `* + ? {m} {m,} {m,n}`, comments. Not known: token references, `<...>`.
 */
import { allowsSomething } from './productive.ts'

/** Sorted ranges of code points that do not touch, both ends included: min, max, min, max, … */
export type CharacterClass = readonly number[]
export type Element =
  | { readonly kind: 'end' }
  | { readonly kind: 'class'; readonly ranges: CharacterClass }
  | { readonly kind: 'rule'; readonly rule: number }

export type Gbnf = {
  /** All alternatives one after the other, each closed by `end`. */
  readonly elements: readonly Element[]
  /** Where the alternatives of each rule begin. */
  readonly rules: readonly (readonly number[])[]
  readonly root: number
  /** Whether some finite text fits. */
  readonly allowsSomething: boolean
}

const TEXT_CHARS_MAX = 1 << 20
/** After repetitions are written out. */
const ELEMENTS_MAX = 200_000
const DEPTH_MAX = 64
const TIMES_MAX = 100_000
const CODE_POINT_MAX = 0x10ffff
const SURROGATES: CharacterClass = [0xd800, 0xdfff]
const END: Element = { kind: 'end' }
const WORD = /[a-zA-Z0-9-]/
const ESCAPES: Readonly<Record<string, string>> = { t: '\t', r: '\r', n: '\n' }
const HEX_DIGITS: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 }

/** No more than a value: the text came from outside. */
class NoGrammar extends Error {}

class Parser {
  readonly #text: string
  readonly #elements: Element[] = []
  readonly #rules: number[][] = []
  readonly #names = new Map<string, number>()
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  parse(): Gbnf {
    this.#space(true)
    while (this.#at < this.#text.length) this.#rule()
    const root = this.#names.get('root')
    if (root === undefined || this.#rules.some((rule) => rule.length === 0)) throw new NoGrammar()
    const grammar = { elements: this.#elements, rules: this.#rules, root }
    return { ...grammar, allowsSomething: allowsSomething(grammar) }
  }

  #peek(): string {
    return this.#text[this.#at] ?? ''
  }

  #take(text: string): boolean {
    if (!this.#text.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #expect(text: string): void {
    if (!this.#take(text)) throw new NoGrammar()
  }

  #space(overLines: boolean): void {
    const pattern = overLines ? /(?:[ \t\r\n]|#[^\r\n]*)*/y : /(?:[ \t]|#[^\r\n]*)*/y
    pattern.lastIndex = this.#at
    pattern.exec(this.#text)
    this.#at = pattern.lastIndex
  }

  #ruleNamed(name: string): number {
    const known = this.#names.get(name)
    if (known !== undefined) return known
    const rule = this.#newRule()
    this.#names.set(name, rule)
    return rule
  }

  #newRule(): number {
    return this.#rules.push([]) - 1
  }

  #name(): string {
    const from = this.#at
    while (WORD.test(this.#peek())) this.#at += 1
    return this.#text.slice(from, this.#at)
  }

  #rule(): void {
    const name = this.#name()
    this.#space(false)
    if (name === '') throw new NoGrammar()
    this.#expect('::=')
    this.#space(true)
    const rule = this.#ruleNamed(name)
    // The last definition of a name holds.
    this.#rules[rule] = []
    this.#alternatives(rule, 0)
    if (!['', '\n', '\r'].includes(this.#peek())) throw new NoGrammar()
    this.#space(true)
  }

  #alternatives(rule: number, depth: number): void {
    if (depth > DEPTH_MAX) throw new NoGrammar()
    do {
      this.#space(true)
      this.#add(rule, this.#sequence(depth))
    } while (this.#take('|'))
  }

  #add(rule: number, sequence: readonly Element[]): void {
    if (this.#elements.length + sequence.length >= ELEMENTS_MAX) throw new NoGrammar()
    this.#rules[rule]?.push(this.#elements.length)
    for (const element of sequence) this.#elements.push(element)
    this.#elements.push(END)
  }

  #sequence(depth: number): readonly Element[] {
    const out: Element[] = []
    // Where what a repetition repeats begins.
    let symbolAt = 0
    for (; ; this.#space(depth > 0)) {
      const char = this.#peek()
      const isRepetition = char !== '' && '*+?{'.includes(char)
      if (!isRepetition && !(char !== '' && ('"[.('.includes(char) || WORD.test(char)))) return out
      const symbol = isRepetition ? out.splice(symbolAt) : []
      symbolAt = out.length
      for (const element of isRepetition ? this.#repetition(depth, symbol) : this.#symbol(depth)) out.push(element)
    }
  }

  #symbol(depth: number): readonly Element[] {
    if (this.#take('"')) return this.#literal()
    if (this.#take('[')) return [this.#class()]
    if (this.#take('.')) return [classOf([], true)]
    if (!this.#take('(')) return [{ kind: 'rule', rule: this.#ruleNamed(this.#name()) }]
    const rule = this.#newRule()
    this.#alternatives(rule, depth + 1)
    this.#expect(')')
    return [{ kind: 'rule', rule }]
  }

  #literal(): readonly Element[] {
    const elements: Element[] = []
    while (!this.#take('"')) {
      const code = this.#character()
      elements.push({ kind: 'class', ranges: [code, code] })
    }
    return elements
  }

  #class(): Element {
    const isInverse = this.#take('^')
    const ranges: (readonly [number, number])[] = []
    while (!this.#take(']')) {
      const min = this.#character()
      const isRange = this.#peek() === '-' && this.#text[this.#at + 1] !== ']'
      if (isRange) this.#at += 1
      const max = isRange ? this.#character() : min
      if (min <= max) ranges.push([min, max])
    }
    return classOf(ranges, isInverse)
  }

  #character(): number {
    const code = this.#text.codePointAt(this.#at)
    if (code === undefined || (code >= 0xd800 && code <= 0xdfff)) throw new NoGrammar()
    if (this.#take('\\')) return this.#escape()
    this.#at += code > 0xffff ? 2 : 1
    return code
  }

  #escape(): number {
    const char = this.#peek()
    this.#at += 1
    const digits = HEX_DIGITS[char]
    if (digits !== undefined) return this.#hex(digits)
    if (char === '' || !'trn\\"[]-'.includes(char)) throw new NoGrammar()
    return (ESCAPES[char] ?? char).charCodeAt(0)
  }

  #hex(digits: number): number {
    const text = this.#text.slice(this.#at, this.#at + digits)
    const code = Number.parseInt(text, 16)
    if (text.length < digits || !/^[0-9a-fA-F]*$/.test(text) || code > CODE_POINT_MAX) throw new NoGrammar()
    this.#at += digits
    return code
  }

  #times(): number {
    const [text] = /^[0-9]{1,6}(?![0-9])/.exec(this.#text.slice(this.#at, this.#at + 7)) ?? []
    if (text === undefined || Number(text) > TIMES_MAX) throw new NoGrammar()
    this.#at += text.length
    return Number(text)
  }

  #repetition(depth: number, symbol: readonly Element[]): readonly Element[] {
    if (this.#take('*')) return this.#repeat(symbol, 0, Number.POSITIVE_INFINITY)
    if (this.#take('+')) return this.#repeat(symbol, 1, Number.POSITIVE_INFINITY)
    if (this.#take('?')) return this.#repeat(symbol, 0, 1)
    this.#expect('{')
    this.#space(depth > 0)
    const min = this.#times()
    this.#space(depth > 0)
    let max = min
    if (this.#take(',')) {
      this.#space(depth > 0)
      max = /[0-9]/.test(this.#peek()) ? this.#times() : Number.POSITIVE_INFINITY
      this.#space(depth > 0)
    }
    this.#expect('}')
    if (min > max) throw new NoGrammar()
    return this.#repeat(symbol, min, max)
  }

  /** Writes out S{min,max}: S as often as it must be, then a rule that may go on and, to the last, may end. */
  #repeat(symbol: readonly Element[], min: number, max: number): readonly Element[] {
    if (symbol.length === 0 || symbol.length * min > ELEMENTS_MAX) throw new NoGrammar()
    const must = Array.from({ length: min }, () => symbol).flat()
    if (max === min) return must
    let rest = this.#newRule()
    const isEndless = max === Number.POSITIVE_INFINITY
    this.#add(rest, isEndless ? [...symbol, { kind: 'rule', rule: rest }] : symbol)
    this.#add(rest, [])
    for (let time = min + 1; !isEndless && time < max; time++) {
      const more: Element[] = [...symbol, { kind: 'rule', rule: rest }]
      rest = this.#newRule()
      this.#add(rest, more)
      this.#add(rest, [])
    }
    return [...must, { kind: 'rule', rule: rest }]
  }
}

/** @returns undefined where the text is no grammar, lacks the rule `root`, uses a rule that it does not define, or is too large */
export function parseGbnf(text: string): Gbnf | undefined {
  if (text.length > TEXT_CHARS_MAX) return undefined
  try {
    return new Parser(text).parse()
  } catch (error) {
    if (error instanceof NoGrammar) return undefined
    throw error
  }
}

/** No class has a surrogate: no text has one either. */
function classOf(ranges: readonly (readonly [number, number])[], isInverse: boolean): Element {
  if (!isInverse) return { kind: 'class', ranges: joined(ranges) }
  const taken = joined([...ranges, [SURROGATES[0] ?? 0, SURROGATES[1] ?? 0]])
  const rest: number[] = []
  let next = 0
  for (let at = 0; at < taken.length; at += 2) {
    const [min = 0, max = 0] = taken.slice(at, at + 2)
    if (min > next) rest.push(next, min - 1)
    next = max + 1
  }
  if (next <= CODE_POINT_MAX) rest.push(next, CODE_POINT_MAX)
  return { kind: 'class', ranges: rest }
}

function joined(ranges: readonly (readonly [number, number])[]): CharacterClass {
  const sorted = [...ranges].sort(([a], [b]) => a - b)
  const out: number[] = []
  for (const [min, max] of sorted) {
    const last = out.at(-1)
    if (last !== undefined && min <= last + 1) out[out.length - 1] = Math.max(last, max)
    else out.push(min, max)
  }
  return out
}
