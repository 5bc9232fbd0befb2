/** Readers of untrusted JSON fields: each returns a fact or throws CF_CONTROL_BAD_REQUEST that names the field. */
import { parseAmount } from '../../core/ledger/amount.ts'
import { LIMITS } from '../../core/limits.ts'
import { badRequest } from './problem.ts'

export type Fields = Readonly<Record<string, unknown>>
/** @param param  the path of the field, as the client would write it */
export type Reader<T> = (value: unknown, param: string) => T

const DECIMAL_U64 = /^(0|[1-9][0-9]{0,19})$/
const U64_MAX = 2n ** 64n - 1n
/** What multiplying a decimal such as 0.001 by 1,000 in binary may leave over. */
const FLOAT_DUST = 1e-6

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array)
}

export function object(value: unknown, param: string): Fields {
  if (!isFields(value)) throw badRequest(param, 'an object')
  return value
}

export function list(value: unknown, param: string): readonly unknown[] {
  if (!Array.isArray(value)) throw badRequest(param, 'an array')
  return value
}

export function flag(value: unknown, param: string): boolean {
  if (typeof value !== 'boolean') throw badRequest(param, 'true or false')
  return value
}

export function text(charsMax: number): Reader<string> {
  return (value, param) => {
    if (typeof value !== 'string' || value.length === 0 || value.length > charsMax) {
      throw badRequest(param, `a string of 1 to ${charsMax} characters`)
    }
    // JSON can name half of a character, which has no UTF-8 form: nobody could sign it.
    if (!value.isWellFormed()) throw badRequest(param, 'whole characters')
    return value
  }
}

/** A reason or key: bounded in bytes, because that is what the log's bound counts. */
export function shortText(bytesMax: number): Reader<string> {
  return (value, param) => {
    const whole = text(bytesMax)(value, param)
    if (Buffer.byteLength(whole) > bytesMax) throw badRequest(param, `at most ${bytesMax} bytes`)
    return whole
  }
}

export function number(min: number, max: number): Reader<number> {
  return (value, param) => {
    if (typeof value !== 'number' || !(value >= min && value <= max))
      throw badRequest(param, `a number from ${min} to ${max}`)
    return value
  }
}

/**
 * A number of at most three decimal places, as thousandths: those are what the protocol counts.
 *
 * Why a finer one is refused: rounding it would run something that nobody asked for.
 */
export function thousandths(min: number, max: number): Reader<number> {
  return (value, param) => {
    const exact = number(min, max)(value, param) * 1_000
    const whole = Math.round(exact)
    if (Math.abs(exact - whole) > FLOAT_DUST)
      throw badRequest(param, `a number from ${min} to ${max} in steps of 0.001`)
    return whole === 0 ? 0 : whole
  }
}

export function integer(min: number, max: number): Reader<number> {
  return (value, param) => {
    if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
      throw badRequest(param, `a whole number from ${min} to ${max}`)
    }
    return value
  }
}

export function oneOf<T extends string>(...choices: readonly T[]): Reader<T> {
  return (value, param) => {
    const choice = choices.find((known) => known === value)
    if (choice === undefined) throw badRequest(param, `one of ${choices.join(', ')}`)
    return choice
  }
}

/** Text that a parser of core accepts: ids, digests, regions. */
export function parsed<T>(parse: (value: unknown) => T | undefined, expected: string): Reader<T> {
  return (value, param) => {
    const fact = parse(value)
    if (fact === undefined) throw badRequest(param, expected)
    return fact
  }
}

/** Credits as a decimal string, e.g. '1.5'; a whole JSON number is accepted, a fraction is not: it has been through a float. */
export function credits(value: unknown, param: string): bigint {
  const amount =
    typeof value === 'number' && Number.isSafeInteger(value) ? parseAmount(String(value)) : parsedAmount(value)
  if (amount === undefined || amount < 0n || amount > LIMITS.amountMicroMax) {
    throw badRequest(param, 'credits as a decimal string with at most 6 places')
  }
  return amount
}

function parsedAmount(value: unknown): bigint | undefined {
  return typeof value === 'string' && value.length <= 32 ? parseAmount(value) : undefined
}

export function unsigned64(value: unknown, param: string): bigint {
  const decimal = typeof value === 'number' && Number.isSafeInteger(value) ? String(value) : value
  const whole = typeof decimal === 'string' && DECIMAL_U64.test(decimal) ? BigInt(decimal) : undefined
  if (whole === undefined || whole > U64_MAX) throw badRequest(param, 'a decimal string below 2^64')
  return whole
}

/** OpenAI clients send null for what they leave out. */
export function optional<T>(fields: Fields, name: string, read: Reader<T>, path = ''): T | undefined {
  const value = fields[name]
  return value === undefined || value === null ? undefined : read(value, path + name)
}

export function required<T>(fields: Fields, name: string, read: Reader<T>, path = ''): T {
  const value = optional(fields, name, read, path)
  if (value === undefined) throw badRequest(path + name, 'to be present')
  return value
}

/** A misspelt option must not be dropped in silence: the caller would pay for something else. */
export function refuseUnknown(fields: Fields, known: ReadonlySet<string>, path = ''): void {
  for (const name of Object.keys(fields)) {
    if (!known.has(name)) throw badRequest(path + name, 'a field that this route knows')
  }
}
