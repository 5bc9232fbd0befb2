import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as b from '../../../../core/codec/bytes.ts'
import { seedOf } from './seeded.ts'

const seed = seedOf('bytes')
const anyBytes = fc.uint8Array({ maxLength: 80 })

test('hex and base32 return what they were given', () => {
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      assert.equal(b.fromHex(b.toHex(bytes)), bytes)
      assert.equal(b.fromBase32(b.toBase32(bytes)), bytes)
    }),
    { seed, numRuns: 200 },
  )
})

test('base32 is that of RFC 4648, in lower case and without padding', () => {
  const known: Record<string, string> = {
    '': '',
    f: 'my',
    fo: 'mzxq',
    foo: 'mzxw6',
    foob: 'mzxw6yq',
    fooba: 'mzxw6ytb',
    foobar: 'mzxw6ytboi',
  }
  for (const [plain, encoded] of Object.entries(known)) assert.is(b.toBase32(b.utf8(plain)), encoded)
})

test('only one text names a byte string', () => {
  for (const text of ['MY', 'my======', 'mz', 'm', 'mzxw6a', 'mzx', 'm1', 'my '])
    assert.is(b.fromBase32(text), undefined, text)
  for (const text of ['0', '0G', 'AB', '0x00', ' 00', '0 ']) assert.is(b.fromHex(text), undefined, text)
})

test('any text that base32 reads is the text that it writes', () => {
  const digits = fc.string({ unit: fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz234567'), maxLength: 20 })
  fc.assert(
    fc.property(digits, (text) => {
      const bytes = b.fromBase32(text)
      if (bytes !== undefined) assert.is(b.toBase32(bytes), text)
    }),
    { seed, numRuns: 500 },
  )
})

test('bytes are ordered as unsigned numbers, a prefix first', () => {
  assert.ok(b.compareBytes(Uint8Array.of(1), Uint8Array.of(1, 0)) < 0)
  assert.ok(b.compareBytes(Uint8Array.of(0x80), Uint8Array.of(0x7f, 0xff)) > 0)
  assert.is(b.compareBytes(Uint8Array.of(1, 2), Uint8Array.of(1, 2)), 0)
  assert.not(b.equalBytes(Uint8Array.of(1), Uint8Array.of(1, 2)))
})

test('text that is not UTF-8 has no value, and a byte order mark stays', () => {
  assert.is(b.fromUtf8(Uint8Array.of(0xc0, 0x80)), undefined)
  assert.is(b.fromUtf8(Uint8Array.of(0xed, 0xa0, 0x80)), undefined)
  assert.is(b.fromUtf8(b.utf8('\ufeffa')), '\ufeffa')
})

test('integers are written in the named byte order', () => {
  assert.equal(b.u16be(0x0102), Uint8Array.of(1, 2))
  assert.equal(b.u32be(0xfffe_fdfc), Uint8Array.of(0xff, 0xfe, 0xfd, 0xfc))
  assert.equal(b.u32le(0x0102_0304), Uint8Array.of(4, 3, 2, 1))
  assert.equal(b.u64be(0x0102_0304_0506_0708n), Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8))
})

test('an integer that does not fit its width is a bug, not a truncation', () => {
  for (const write of [
    () => b.u16be(65_536),
    () => b.u32be(-1),
    () => b.u32be(1.5),
    () => b.u64be(2n ** 64n),
    () => b.idsToBytes([2 ** 32]),
  ]) {
    assert.throws(write, /invariant broken/)
  }
})

test('token ids are little-endian and their bytes whole', () => {
  assert.equal(b.idsToBytes([1, 0xffff_ffff]), Uint8Array.of(1, 0, 0, 0, 255, 255, 255, 255))
  assert.equal(b.idsFromBytes(b.idsToBytes(Uint32Array.of(7, 70_000))), Uint32Array.of(7, 70_000))
  assert.equal(b.idsFromBytes(Uint8Array.of(9, 1, 0, 0, 0).subarray(1)), Uint32Array.of(1))
  assert.is(b.idsFromBytes(new Uint8Array(3)), undefined)
})

test.run()
