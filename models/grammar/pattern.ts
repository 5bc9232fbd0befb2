/**
 * A regular expression of a schema, as a grammar over the characters of a JSON string.
 *
 * Known: literals, escapes, classes, `.`, groups, `|`, quantifiers, `^` in front and `$` at the end. Anchors elsewhere, references,
 * look-around and Unicode properties are refused.
 *
 * @see JSON Schema Validation, section 6.3.3; ECMA-262, section 22.2
 */
import { SchemaFault } from './fault.ts'
import { literal } from './rules.ts'

const CHARS_MAX = 512
const DEPTH_MAX = 16
const TIMES_MAX = 1_000
const CLASSES: Readonly<Record<string, string>> = { d: '0-9', w: 'a-zA-Z0-9_', s: ' ' }
const CONTROLS: Readonly<Record<string, string>> = { n: '\\n', r: '\\r', t: '\\t' }
/** What a JSON string does not show as itself. */
const ESCAPED = /["\\]/

class PatternReader {
  readonly #text: string
  readonly #path: string
  #at = 0

  constructor(text: string, path: string) {
    this.#text = text
    this.#path = path
  }

  /** @returns the whole expression */
  read(): string {
    const body = this.#alternatives(0)
    if (this.#at < this.#text.length) throw this.#refused('groups that are closed')
    return body
  }

  #alternatives(depth: number): string {
    if (depth > DEPTH_MAX) throw this.#refused(`at most ${DEPTH_MAX} groups within each other`)
    const parts = [this.#sequence(depth)]
    while (this.#take('|')) parts.push(this.#sequence(depth))
    return parts.join(' | ')
  }

  #sequence(depth: number): string {
    const parts: string[] = []
    while (this.#at < this.#text.length && !['|', ')'].includes(this.#peek())) parts.push(this.#quantified(depth))
    return parts.length === 0 ? '""' : parts.join(' ')
  }

  #quantified(depth: number): string {
    const atom = this.#atom(depth)
    const [found] = /^(?:[*+?]|\{\d{1,4}(?:,\d{0,4})?\})/.exec(this.#text.slice(this.#at)) ?? []
    if (found === undefined) return atom
    this.#at += found.length
    // Lazy or not, the same texts fit.
    this.#take('?')
    const [from = 0, to = from] = found.match(/\d+/g)?.map(Number) ?? []
    if (from > to || to > TIMES_MAX) throw this.#refused(`at most ${TIMES_MAX} repetitions`)
    return `${atom}${found}`
  }

  #atom(depth: number): string {
    const char = this.#next()
    if (char === '(') return this.#group(depth)
    if (char === '[') return this.#class()
    if (char === '.') return `[^"\\\\\\x00-\\x1f]`
    if (char === '\\') return this.#escape()
    if ('^$*+?{}'.includes(char)) throw this.#refused('no anchors or braces within')
    return written(char)
  }

  #group(depth: number): string {
    if (this.#take('?') && !this.#take(':')) throw this.#refused('plain groups')
    const body = this.#alternatives(depth + 1)
    if (!this.#take(')')) throw this.#refused('groups that are closed')
    return `(${body})`
  }

  #escape(): string {
    const char = this.#next()
    const known = CLASSES[char]
    if (known !== undefined) return `[${known}]`
    const control = CONTROLS[char]
    if (control !== undefined) return literal(control)
    if (/[a-zA-Z0-9]/.test(char)) throw this.#refused('the escapes \\d \\w \\s \\n \\r \\t')
    return written(char)
  }

  /** Characters that a JSON string escapes are left out of a class, except where they are all that it has. */
  #class(): string {
    const isInverse = this.#take('^')
    let body = isInverse ? '"\\\\\\x00-\\x1f' : ''
    while (!this.#take(']')) {
      const { char, ranges } = this.#classMember()
      if (char === undefined) body += ranges
      else if (this.#peek() === '-' && this.#text[this.#at + 1] !== ']') body += this.#range(char)
      else if (!ESCAPED.test(char)) body += inClass(char)
    }
    if (body === '') throw this.#refused('classes of characters that need no escape')
    return `[${isInverse ? '^' : ''}${body}]`
  }

  #range(from: string): string {
    this.#at += 1
    const { char: to } = this.#classMember()
    if (to === undefined || codeOf(from) > codeOf(to)) throw this.#refused('ranges from low to high')
    // Else a quote could end the string.
    if (['"', '\\'].some((sign) => from <= sign && sign <= to)) throw this.#refused('ranges without " and \\')
    return `${inClass(from)}-${inClass(to)}`
  }

  /** One character, or the ranges of a class that an escape names. */
  #classMember():
    | { readonly char: string; readonly ranges?: never }
    | { readonly char?: never; readonly ranges: string } {
    const char = this.#next()
    if (char !== '\\') return { char }
    const escaped = this.#next()
    const ranges = CLASSES[escaped]
    if (ranges !== undefined) return { ranges }
    if (/[a-zA-Z0-9]/.test(escaped)) throw this.#refused('the escapes \\d \\w \\s within a class')
    return { char: escaped }
  }

  #peek(): string {
    return this.#text[this.#at] ?? ''
  }

  #next(): string {
    const char = String.fromCodePoint(this.#text.codePointAt(this.#at) ?? 0)
    if (this.#at >= this.#text.length) throw this.#refused('a whole expression')
    this.#at += char.length
    return char
  }

  #take(char: string): boolean {
    if (this.#peek() !== char) return false
    this.#at += 1
    return true
  }

  #refused(wanted: string): SchemaFault {
    return refused(`with ${wanted}`, this.#path)
  }
}

/** @param anyChar  name of the rule for any character of a string */
export function patternExpression(pattern: string, anyChar: string, path: string): string {
  if (pattern.length > CHARS_MAX || !pattern.isWellFormed()) throw refused(`of at most ${CHARS_MAX} characters`, path)
  const hasStart = pattern.startsWith('^')
  const hasEnd = /(?<!\\)(?:\\\\)*\$$/.test(pattern)
  const body = pattern.slice(hasStart ? 1 : 0, hasEnd ? -1 : undefined)
  const inner = new PatternReader(body, path).read()
  // An anchor binds closer than `|`: with both, neither side of the other end is anchored.
  if (inner.includes(' | ') && (hasStart || hasEnd) && hasTopAlternatives(body))
    throw refused('with its alternatives in a group', path)
  return `${hasStart ? '' : `${anyChar}* `}(${inner})${hasEnd ? '' : ` ${anyChar}*`}`
}

function hasTopAlternatives(body: string): boolean {
  const flat = body.replace(/\\./g, '').replace(/\[[^\]]*\]/g, '')
  let depth = 0
  for (const char of flat) {
    if (char === '(') depth += 1
    if (char === ')') depth -= 1
    if (char === '|' && depth === 0) return true
  }
  return false
}

function codeOf(char: string): number {
  return char.codePointAt(0) ?? 0
}

/** A character as a JSON string has it. */
function written(char: string): string {
  return literal(JSON.stringify(char).slice(1, -1))
}

/** The characters as part of a class of GBNF, by number where a sign would mean something else. */
function inClass(char: string): string {
  const hasMeaning = /[\]\\^-]/.test(char) || char < ' '
  return hasMeaning ? `\\U${codeOf(char).toString(16).padStart(8, '0')}` : char
}

function refused(wanted: string, path: string): SchemaFault {
  return new SchemaFault(`a regular expression ${wanted} (at #${path.slice(0, 128)})`)
}
