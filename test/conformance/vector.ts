/** The shape of a vector file and what its checker must export; shared by the runner, the checkers and the generator. */
import * as assert from 'uvu/assert'
import { fromHex } from '../../core/codec/bytes.ts'
import type { Validation } from '../../core/validation.ts'

export type Texts = Readonly<Record<string, unknown>>
export type VectorCase = {
  readonly name: string
  readonly accept: boolean
  readonly input: Texts
  readonly expect: Texts
}
export type VectorFile = { readonly name: string; readonly describe: string; readonly cases: readonly VectorCase[] }
/** What each `<name>.vectors.ts` exports; `check` throws when the code disagrees with the case. */
export type Checker = { readonly file: string; readonly check: (vector: VectorCase) => void }

export function textOf(input: Texts, name: string): string {
  const value = input[name]
  assert.type(value, 'string', `the vector has a text ${name}`)
  return String(value)
}

export function bytesOf(input: Texts, name: string): Uint8Array {
  const bytes = fromHex(textOf(input, name))
  assert.ok(bytes !== undefined, `the vector's ${name} is hex`)
  return bytes ?? new Uint8Array()
}

/** Compares an answer with what the vector expects; @returns the accepted value, undefined after a reject */
export function acceptedOf<T>(answer: Validation<T>, vector: VectorCase): T | undefined {
  if (answer.action === 'accept') {
    assert.ok(vector.accept, `${vector.name}: accepted, must be refused`)
    return answer.value
  }
  assert.not(vector.accept, `${vector.name}: refused as ${answer.reason}, must be accepted`)
  assert.is(answer.reason, vector.expect['reason'], vector.name)
  return undefined
}
