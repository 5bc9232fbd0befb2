import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeWire, encodeWire, type Wire } from '../../../../core/codec/canonical.ts'
import { seedOf, wire } from './seeded.ts'

const seed = seedOf('canonical')
const BYTES_MAX = 1_000_000

function decoded(bytes: Uint8Array): Wire {
  const answer = decodeWire(bytes, BYTES_MAX)
  assert.is(answer.action, 'accept')
  return answer.action === 'accept' ? answer.value : []
}

test('every value comes back as it was', () => {
  fc.assert(
    fc.property(wire, (value) => assert.equal(decoded(encodeWire(value)), value)),
    { seed, numRuns: 1_000 },
  )
})

test('5 and 5n are two values with two encodings', () => {
  assert.equal(encodeWire(5), Uint8Array.of(5))
  assert.equal(encodeWire(5n), Uint8Array.of(0xd3, 0, 0, 0, 0, 0, 0, 0, 5))
  assert.is(decoded(encodeWire(5n)), 5n)
})

test('a value without a canonical form is a bug in the caller', () => {
  const values: Wire[] = [1.5, -1, 2 ** 32, Number.NaN, '\ud800', 2n ** 64n, [[[[[[[[[]]]]]]]]]]
  for (const value of values) assert.throws(() => encodeWire(value))
})

test('decoded bytes are copies: a change of the input does not reach them', () => {
  const input = Buffer.concat([Buffer.from('pool'), encodeWire([Uint8Array.of(1, 2, 3)])]).subarray(4)
  const [field] = decoded(input) as readonly Wire[]
  input.fill(0)
  assert.equal(field, Uint8Array.of(1, 2, 3))
  assert.is(field?.constructor, Uint8Array)
  assert.is(field instanceof Uint8Array && field.buffer.byteLength, 3)
})

test('encoded bytes are of their own, not a view into a pool', () => {
  const bytes = encodeWire([1, 2])
  assert.is(bytes.constructor, Uint8Array)
  assert.is(bytes.buffer.byteLength, bytes.length)
})

test('a long text keeps its byte order mark', () => {
  const text = `\ufeff${'x'.repeat(100)}`
  assert.is(decoded(encodeWire(text)), text)
})

test.run()
