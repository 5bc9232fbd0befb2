/**
 * Bodies: named, typed fields in memory, a fixed array on the wire.
 * Shapes are TypeBox schemas compiled once; the guard has checked the bytes before a schema sees them.
 */

import Type, { type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { domainHash } from '#core/hash'
import { type Digest, digestBytes, digestOf, keyOf, type PeerId, peerIdOf, type SwarmId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { accept, reject, type Validation } from '../validation.ts'
import { utf8 } from './bytes.ts'
import { decodeWire, encodeWire, type Wire } from './canonical.ts'

/** One place of a body: `schema` describes its wire form; `fromWire` sees only what the schema admits. */
export type Field<T> = {
  readonly schema: TSchema
  toWire(value: T): Wire
  fromWire(wire: Wire): T
}
export type Fields = Readonly<Record<string, Field<unknown>>>
export type ValueOf<F extends Fields> = { readonly [Name in keyof F]: F[Name] extends Field<infer T> ? T : never }

export type BodyCodec<T> = {
  readonly type: string
  readonly bytesMax: number
  /** @throws InvariantError when a field is out of its range: what comes from outside is checked before */
  encode(value: T): Uint8Array
  decode(body: Uint8Array): Validation<T>
  /** domainHash(type, swarmId, body): over the bytes that were signed, not over a value. */
  digest(swarmId: SwarmId, body: Uint8Array): Digest
}
export type BodyOf<C> = C extends BodyCodec<infer T> ? T : never

const VERSION = 1
const I16_SPAN = 2 ** 16
const I32_SPAN = 2 ** 32
const I64_MIN = -(2n ** 63n)
const I64_MAX = 2n ** 63n - 1n
const U64_MAX = 2n ** 64n - 1n

export const u8 = (): Field<number> => unsigned(0xff)
export const u16 = (): Field<number> => unsigned(0xffff)
export const u32 = (): Field<number> => unsigned(0xffff_ffff)
/** -32,768 to 32,767; on the wire its two's complement as an unsigned number, for a body has no short negative integer. */
export const i16 = (): Field<number> => signed(I16_SPAN, u16())
/** As `i16`, from -2^31 to 2^31 - 1. */
export const i32 = (): Field<number> => signed(I32_SPAN, u32())

export const i64 = (): Field<bigint> => wide(I64_MIN, I64_MAX)
export const u64 = (): Field<bigint> => wide(0n, U64_MAX)

export function flag(): Field<boolean> {
  return { schema: Type.Boolean(), toWire: (value) => value, fromWire: (wire) => wire === true }
}

/** @param bytesMax  bound on the UTF-8 form */
export function text(bytesMax: number): Field<string> {
  const schema = Type.Refine(Type.String(), (value) => isTextWithin(value, bytesMax))
  return { schema, toWire: (value) => value, fromWire: parseText }
}

/** True when a text field of this bound can carry the text: no lone surrogate, not too long. For texts from outside. */
export function isTextWithin(value: string, bytesMax: number): boolean {
  if (value.length > bytesMax || !value.isWellFormed()) return false
  return value.length * 3 <= bytesMax || utf8(value).length <= bytesMax
}

/** Exactly `byteCount` bytes. */
export const bytes = (byteCount: number): Field<Uint8Array> => binary(byteCount, byteCount)
/** Up to `byteCountMax` bytes; empty stands for absent where a body says so. */
export const bytesMax = (byteCountMax: number): Field<Uint8Array> => binary(0, byteCountMax)

export function digest(): Field<Digest> {
  const field = bytes(32)
  return { schema: field.schema, toWire: digestBytes, fromWire: (wire) => digestOf(field.fromWire(wire)) }
}

/** A key as it is written; whether it is an admissible key is asked where its signature is checked. */
export function peer(): Field<PeerId> {
  const field = bytes(32)
  return { schema: field.schema, toWire: keyOf, fromWire: (wire) => peerIdOf(field.fromWire(wire)) }
}

/** One of a few names, on the wire its place in the list: names may be added at the end, never moved. */
export function code<const Names extends readonly string[]>(names: Names): Field<Names[number]> {
  return {
    schema: Type.Integer({ minimum: 0, maximum: names.length - 1 }),
    toWire: (name) => names.indexOf(name),
    fromWire(wire) {
      const name = names[parseNumber(wire)]
      invariant(name !== undefined, 'the schema bounds a code')
      return name
    },
  }
}

export function list<T>(item: Field<T>, countMax: number): Field<readonly T[]> {
  return {
    schema: Type.Array(item.schema, { maxItems: countMax }),
    toWire: (values) => values.map((value) => item.toWire(value)),
    fromWire: (wire) => parseItems(wire).map((part) => item.fromWire(part)),
  }
}

/** A nested body: a fixed array of its fields in declared order, without a version of its own. */
export function record<const F extends Fields>(fields: F): Field<ValueOf<F>> {
  return {
    schema: Type.Tuple(Object.values(fields).map((field) => field.schema)),
    toWire: (value) => fieldsToWire(fields, value),
    fromWire: (wire) => parseFields(fields, parseItems(wire)),
  }
}

/**
 * Defines a body: `[1, ...fields in declared order]`.
 *
 * @param type      domain of its hash and, when it travels in an envelope, the envelope's type
 * @param bytesMax  bound on the encoded body
 * @see docs/PROTOCOL.md#encoding
 */
export function defineBody<const F extends Fields>(type: string, fields: F, bytesMax: number): BodyCodec<ValueOf<F>> {
  const checks = Object.entries(fields).map(([name, field]) => ({
    where: `${type}.${name}`,
    check: Compile(field.schema),
  }))

  function misfit(parts: readonly Wire[]): string | undefined {
    if (parts.length !== checks.length + 1) return type
    return checks.find(({ check }, index) => !check.Check(parts[index + 1]))?.where
  }

  return {
    type,
    bytesMax,
    encode(value) {
      const wire = [VERSION, ...fieldsToWire(fields, value)]
      invariant(misfit(wire) === undefined, `${misfit(wire)} is in its range`)
      const body = encodeWire(wire)
      invariant(body.length <= bytesMax, `a ${type} is at most ${bytesMax} bytes`)
      return body
    },
    decode(body) {
      const decoded = decodeWire(body, bytesMax)
      if (decoded.action !== 'accept') return decoded
      if (!isItems(decoded.value)) return reject('body_malformed', type)
      const [version, ...rest] = decoded.value
      if (version !== VERSION) return reject('version_unknown', type)
      const where = misfit(decoded.value)
      return where === undefined ? accept(parseFields(fields, rest)) : reject('body_malformed', where)
    },
    digest: (swarmId, body) => digestOf(domainHash(type, digestBytes(swarmId), body)),
  }
}

function signed(span: number, { schema }: Field<number>): Field<number> {
  return {
    schema,
    // A value outside its range stays outside of the schema's, where encoding finds it.
    toWire: (value) => (value >= -span / 2 && value < 0 ? value + span : value < span / 2 ? value : span),
    fromWire(wire) {
      const value = parseNumber(wire)
      return value < span / 2 ? value : value - span
    },
  }
}

function unsigned(max: number): Field<number> {
  return { schema: Type.Integer({ minimum: 0, maximum: max }), toWire: (value) => value, fromWire: parseNumber }
}

/** Refined by hand: TypeBox writes bigint bounds as number literals, which round near 2^63. */
function wide(min: bigint, max: bigint): Field<bigint> {
  const schema = Type.Refine(Type.BigInt(), (value) => value >= min && value <= max)
  return { schema, toWire: (value) => value, fromWire: parseBigint }
}

function binary(min: number, max: number): Field<Uint8Array> {
  const isWithin = (value: unknown) => value instanceof Uint8Array && value.length >= min && value.length <= max
  return { schema: Type.Refine(Type.Unknown(), isWithin), toWire: (value) => value, fromWire: parseBytes }
}

function fieldsToWire(fields: Fields, value: Readonly<Record<string, unknown>>): Wire[] {
  return Object.entries(fields).map(([name, field]) => field.toWire(value[name]))
}

/** The one place where a checked array becomes a typed value. */
function parseFields<F extends Fields>(fields: F, parts: readonly Wire[]): ValueOf<F> {
  const value: Record<string, unknown> = {}
  let index = 0
  for (const name in fields) {
    const [field, part] = [fields[name], parts[index]]
    invariant(field !== undefined && part !== undefined, 'the schema fixes the number of fields')
    value[name] = field.fromWire(part)
    index += 1
  }
  return value as ValueOf<F>
}

const isItems = (wire: Wire): wire is readonly Wire[] => Array.isArray(wire)

function parseItems(wire: Wire): readonly Wire[] {
  invariant(isItems(wire), 'the schema asked for an array')
  return wire
}

function parseNumber(wire: Wire): number {
  invariant(typeof wire === 'number', 'the schema asked for a number')
  return wire
}

function parseBigint(wire: Wire): bigint {
  invariant(typeof wire === 'bigint', 'the schema asked for a bigint')
  return wire
}

function parseText(wire: Wire): string {
  invariant(typeof wire === 'string', 'the schema asked for a text')
  return wire
}

function parseBytes(wire: Wire): Uint8Array {
  invariant(wire instanceof Uint8Array, 'the schema asked for bytes')
  return wire
}
