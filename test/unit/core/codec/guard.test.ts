import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { concatBytes, fromHex } from '../../../../core/codec/bytes.ts'
import { decodeWire, encodeWire } from '../../../../core/codec/canonical.ts'
import { type ScanLimits, scan } from '../../../../core/codec/guard.ts'
import { seedOf, wire } from './seeded.ts'

const seed = seedOf('guard')
const LIMITS: ScanLimits = { bytesMax: 4_096, depthMax: 3, itemsMax: 100 }

function outcome(hex: string, limits: ScanLimits = LIMITS): string {
  const scanned = scan(fromHex(hex.replaceAll(' ', '')) ?? new Uint8Array(), limits)
  return scanned.action === 'accept' ? 'accept' : scanned.reason
}

test('whatever a peer sends, the scan answers and never throws', () => {
  const noise = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.uint8Array({ maxLength: 60 }).map((tail) => concatBytes(Uint8Array.of(0x93, 0xdd, 0, 0), tail)),
  )
  fc.assert(
    fc.property(noise, (bytes) => {
      const { action } = scan(bytes, LIMITS)
      assert.ok(action === 'accept' || action === 'reject')
    }),
    { seed, numRuns: 3_000 },
  )
})

test('bytes that the scan admits decode to a value that encodes to the same bytes', () => {
  const mutated = fc.tuple(wire, fc.nat(), fc.nat({ max: 255 })).map(([value, place, byte]) => {
    const bytes = encodeWire(value)
    bytes[place % bytes.length] = byte
    return bytes
  })
  fc.assert(
    fc.property(mutated, (bytes) => {
      const decoded = decodeWire(bytes, 1_000_000)
      if (decoded.action === 'accept') assert.equal(encodeWire(decoded.value), bytes)
    }),
    { seed, numRuns: 1_500 },
  )
})

test('a cut anywhere is refused, and so is a byte too many', () => {
  fc.assert(
    fc.property(wire, fc.nat(), (value, place) => {
      const bytes = encodeWire(value)
      assert.is(decodeWire(bytes.subarray(0, place % bytes.length), 1_000_000).action, 'reject')
      assert.is(decodeWire(concatBytes(bytes, Uint8Array.of(0)), 1_000_000).action, 'reject')
    }),
    { seed, numRuns: 500 },
  )
})

test('a length that the bytes cannot hold is refused before anything is set aside for it', () => {
  const before = process.memoryUsage().heapUsed
  const bombs = [
    'ddffffffff',
    '91ddffffffff',
    'c6ffffffff',
    'dbffffffff',
    'dcffff',
    '93c5ffff',
    `${'91'.repeat(3)}ddffffffff`,
  ]
  for (const bomb of bombs) {
    const huge = { bytesMax: 4_096, depthMax: 8, itemsMax: 2 ** 33 }
    assert.is(outcome(bomb, huge), 'bytes_truncated', bomb)
  }
  assert.ok(process.memoryUsage().heapUsed - before < 2 ** 22)
})

test('an array with more items than allowed is refused at its head', () => {
  assert.is(outcome('ddffffffff'), 'bytes_too_many_items')
  assert.is(outcome(`dc0064${'00'.repeat(100)}`), 'bytes_too_many_items')
  assert.is(outcome(`dc0063${'00'.repeat(99)}`), 'accept')
})

test('depth counts arrays within arrays and ends at its limit', () => {
  assert.is(outcome('919100'), 'accept')
  assert.is(outcome('91919100'), 'accept')
  assert.is(outcome('9191919100'), 'bytes_too_deep')
  assert.is(outcome('91919190'), 'bytes_too_deep')
  assert.is(outcome('00', { ...LIMITS, depthMax: 0 }), 'accept')
  assert.is(outcome('91'.repeat(4_000)), 'bytes_too_deep')
})

test('a message over its size is refused without being read', () => {
  assert.is(outcome('c1c1', { ...LIMITS, bytesMax: 1 }), 'bytes_too_large')
})

test('the empty message is refused', () => {
  assert.is(outcome(''), 'bytes_truncated')
})

test.run()
