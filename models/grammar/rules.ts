/**
 * GBNF text, rule by rule, and the rules that every JSON grammar shares.
 *
 * @see RFC 8259 for JSON; llama.cpp's grammars/README.md for GBNF
 */
import { SchemaFault } from './fault.ts'

/** The rules of JSON itself. Numbers and gaps are bounded, so that a model cannot go on in one for ever. */
const PRIMITIVES = {
  // An indented line, or nothing, or a space.
  ws: '( " " | "\\n" [ ]{0,32} )?',
  hex: '[0-9a-fA-F]',
  // No halves of surrogate pairs: each escape is one character, as the lengths of a schema count them.
  escape: '"\\\\" ( ["\\\\/bfnrt] | "u" ( [0-9a-cA-CefEF] hex{3} | [dD] [0-7] hex{2} ) )',
  char: '[^"\\\\\\x00-\\x1f\\x7f] | escape',
  string: '"\\"" char* "\\""',
  natural: '"0" | [1-9] [0-9]{0,15}',
  integer: '"-"? natural',
  // Two digits of an exponent: with three a number may be none that a reader can hold.
  fraction: '( "." [0-9]{1,15} )? ( [eE] [+-]? [0-9]{1,2} )?',
  number: 'integer fraction',
  boolean: '"true" | "false"',
  null: '"null"',
  value: 'object | array | string | number | boolean | null',
  object: '"{" ws ( member ( "," ws member )* )? ws "}"',
  member: 'string ":" ws value',
  array: '"[" ws ( value ( "," ws value )* )? ws "]"',
} as const
export type Primitive = keyof typeof PRIMITIVES

/** Around a rule's name and body. */
const FRAME_BYTES = 16
const NAME = /[a-z][a-z0-9-]*/g
const QUOTED = /"(?:\\.|[^"\\])*"|\[(?:\\.|[^\]\\])*\]/g

export class Rules {
  readonly #bytesMax: number
  readonly #bodies = new Map<string, string>()
  #bytes = 0

  /** @param bytesMax  of the whole text */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** @returns a name that no rule has yet; its body may come later, so that rules can name each other */
  reserve(stem: string): string {
    const name = `${stem}-${this.#bodies.size}`
    this.#bodies.set(name, '')
    return name
  }

  /** @throws SchemaFault when the text grows too long */
  define(name: string, body: string): string {
    this.#bodies.set(name, this.#counted(body, name.length))
    return name
  }

  /** @returns the primitive's name; it and what it uses become part of the text */
  use(primitive: Primitive): Primitive {
    if (this.#bodies.has(primitive)) return primitive
    const body = PRIMITIVES[primitive]
    this.define(primitive, body)
    this.require(body)
    return primitive
  }

  /** Brings in the primitives that an expression names. */
  require(expression: string): string {
    for (const [name] of expression.replace(QUOTED, '').matchAll(NAME)) if (isPrimitive(name)) this.use(name)
    return expression
  }

  /** One rule a line, `root` first. @throws SchemaFault */
  text(root: string): string {
    const first = this.#counted(this.require(root), 0)
    const lines = [...this.#bodies].map(([name, body]) => `${name} ::= ${body}\n`)
    return `root ::= ${first}\n${lines.join('')}`
  }

  #counted(body: string, nameBytes: number): string {
    this.#bytes += nameBytes + Buffer.byteLength(body) + FRAME_BYTES
    if (this.#bytes > this.#bytesMax) throw new SchemaFault('a schema whose grammar is shorter')
    return body
  }
}

function isPrimitive(name: string): name is Primitive {
  return Object.hasOwn(PRIMITIVES, name)
}

/** A text as it stands. */
export function literal(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&')}"`
}

/** @param max  undefined: no bound */
export function repeated(expression: string, min: number, max: number | undefined): string {
  if (max === undefined && min <= 1) return `${expression}${min === 0 ? '*' : '+'}`
  return `${expression}{${min},${max ?? ''}}`
}
