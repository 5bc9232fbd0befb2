import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { domainHash } from '#core/hash'
import { encodeWire, type Wire } from '../../../../core/codec/canonical.ts'
import * as s from '../../../../core/codec/schema.ts'
import { digestBytes, digestOf, peerIdOf, type SwarmId } from '../../../../core/ids.ts'
import { seedOf } from './seeded.ts'

const seed = seedOf('schema')

const codec = s.defineBody(
  'sample',
  {
    count: s.u8(),
    port: s.u16(),
    size: s.u32(),
    amount: s.i64(),
    time: s.u64(),
    open: s.flag(),
    name: s.text(8),
    salt: s.bytes(4),
    proof: s.bytesMax(6),
    job: s.digest(),
    worker: s.peer(),
    kind: s.code(['first', 'second']),
    parts: s.list(s.record({ place: s.u8(), word: s.text(4) }), 2),
    tilt: s.i16(),
    bias: s.i32(),
  },
  256,
)
type Sample = s.BodyOf<typeof codec>

const SAMPLE: Sample = {
  count: 255,
  port: 65_535,
  size: 0xffff_ffff,
  amount: -(2n ** 63n),
  time: 2n ** 64n - 1n,
  open: true,
  name: 'größe',
  salt: Uint8Array.of(1, 2, 3, 4),
  proof: new Uint8Array(),
  job: digestOf(new Uint8Array(32).fill(1)),
  worker: peerIdOf(new Uint8Array(32).fill(2)),
  kind: 'second',
  parts: [
    { place: 0, word: 'a' },
    { place: 1, word: '' },
  ],
  tilt: -1,
  bias: -(2 ** 31),
}

const WIRE: readonly Wire[] = [
  1,
  255,
  65_535,
  0xffff_ffff,
  -(2n ** 63n),
  2n ** 64n - 1n,
  true,
  'größe',
  Uint8Array.of(1, 2, 3, 4),
  new Uint8Array(),
  new Uint8Array(32).fill(1),
  new Uint8Array(32).fill(2),
  1,
  [
    [0, 'a'],
    [1, ''],
  ],
  0xffff,
  2 ** 31,
]

function refusal(place: number, value: Wire): string {
  const decoded = codec.decode(encodeWire(WIRE.with(place, value)))
  return decoded.action === 'reject' ? `${decoded.reason} ${decoded.where}` : decoded.action
}

test('a body is its version and its fields in declared order', () => {
  assert.equal(codec.encode(SAMPLE), encodeWire(WIRE))
  assert.equal(codec.decode(encodeWire(WIRE)), { action: 'accept', value: SAMPLE })
})

test('a value outside its field is refused and the field is named', () => {
  const cases: readonly (readonly [number, Wire, string])[] = [
    [1, 256, 'count'],
    [1, 1n, 'count'],
    [1, '1', 'count'],
    [2, 65_536, 'port'],
    [3, 1n, 'size'],
    [4, 2n ** 63n, 'amount'],
    [4, 0, 'amount'],
    [5, -1n, 'time'],
    [6, 1, 'open'],
    [7, 'größer9', 'name'],
    [7, '123456789', 'name'],
    [7, Uint8Array.of(97), 'name'],
    [8, new Uint8Array(3), 'salt'],
    [8, new Uint8Array(5), 'salt'],
    [8, 'abcd', 'salt'],
    [9, new Uint8Array(7), 'proof'],
    [10, new Uint8Array(31), 'job'],
    [11, new Uint8Array(33), 'worker'],
    [12, 2, 'kind'],
    [12, 'first', 'kind'],
    [
      13,
      [
        [0, 'a'],
        [0, 'a'],
        [0, 'a'],
      ],
      'parts',
    ],
    [13, [[0]], 'parts'],
    [13, [[0, 'a', 0]], 'parts'],
    [13, [0], 'parts'],
    [13, 0, 'parts'],
    [14, 0x1_0000, 'tilt'],
    [14, -1n, 'tilt'],
    [15, '1', 'bias'],
    [15, -1n, 'bias'],
  ]
  for (const [place, value, field] of cases) assert.is(refusal(place, value), `body_malformed sample.${field}`)
})

test('another version is refused as such, also when the fields differ', () => {
  assert.is(refusal(0, 2), 'version_unknown sample')
  assert.is(refusal(0, 1n), 'version_unknown sample')
  const newer = codec.decode(encodeWire([2, 'what', 'a', 'new', 'version', 'has']))
  assert.is(newer.action === 'reject' && newer.reason, 'version_unknown')
})

test('a missing or an added field is refused', () => {
  for (const wire of [WIRE.slice(0, -1), [...WIRE, 0], [1], 7, 'text', true]) {
    const decoded = codec.decode(encodeWire(wire))
    assert.is(decoded.action === 'reject' && decoded.reason, 'body_malformed')
  }
  const empty = codec.decode(encodeWire([]))
  assert.is(empty.action, 'reject')
})

test('a body over its size is refused before it is read', () => {
  const decoded = codec.decode(new Uint8Array(257).fill(0xc1))
  assert.is(decoded.action === 'reject' && decoded.reason, 'bytes_too_large')
})

test('encoding a value outside its field is a bug in the caller', () => {
  const wrong: readonly Partial<Sample>[] = [
    { count: 256 },
    { count: 1.5 },
    { tilt: 32_768 },
    { tilt: -32_769 },
    { tilt: 0.5 },
    { tilt: Number.NaN },
    { bias: 2 ** 31 },
    { bias: -(2 ** 31) - 1 },
    { bias: 0.5 },
    { bias: Number.NaN },
    { time: -1n },
    { name: 'too long a name' },
    { name: '\ud800' },
    { salt: new Uint8Array(5) },
  ]
  for (const part of wrong) assert.throws(() => codec.encode({ ...SAMPLE, ...part }), /invariant broken/)
})

test('a text from outside can be asked for its fit first', () => {
  assert.ok(s.isTextWithin('größe', 7))
  assert.not(s.isTextWithin('größe', 6))
  assert.not(s.isTextWithin('\ud800', 9))
  assert.ok(s.isTextWithin('', 0))
})

test('random bodies come back as they were, and their hash is over bytes and swarm', () => {
  const swarm = digestOf(new Uint8Array(32).fill(9)) as SwarmId
  const samples = fc.record({
    amount: fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    count: fc.nat({ max: 255 }),
    tilt: fc.integer({ min: -32_768, max: 32_767 }),
    bias: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
    salt: fc.uint8Array({ minLength: 4, maxLength: 4 }),
  })
  fc.assert(
    fc.property(samples, (part) => {
      const body = codec.encode({ ...SAMPLE, ...part })
      assert.equal(codec.decode(body), { action: 'accept', value: { ...SAMPLE, ...part } })
      assert.is(codec.digest(swarm, body), digestOf(domainHash('sample', digestBytes(swarm), body)))
    }),
    { seed, numRuns: 200 },
  )
})

test('random bytes never get through and never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 256 }), (body) => assert.is(codec.decode(body).action, 'reject')),
    { seed, numRuns: 500 },
  )
})

test.run()
