import * as assert from 'uvu/assert'
import { decodeWire, encodeWire } from '../../core/codec/canonical.ts'
import { taggedOf } from './tagged.ts'
import { acceptedOf, bytesOf, type VectorCase } from './vector.ts'

export const file = 'canonical.json'
const BYTES_MAX = 1_048_576

export function check(vector: VectorCase): void {
  const bytes = bytesOf(vector.input, 'bytes')
  const value = acceptedOf(decodeWire(bytes, BYTES_MAX), vector)
  if (value === undefined) return
  assert.equal(taggedOf(value), vector.expect['value'])
  assert.equal(encodeWire(value), bytes, 'encodes to the same bytes')
}
