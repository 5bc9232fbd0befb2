import { Point } from '@noble/ed25519'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isCanonicalPoint } from '../../../../core/identity/admission.ts'
import { rememberWithin } from '../../../../core/identity/bounded-cache.ts'
import { admitKey, isAdmitted, keyPairFromSeed } from '../../../../core/identity/keys.ts'
import { keyOf, parsePeerId, peerIdOf } from '../../../../core/ids.ts'
import { LIMITS } from '../../../../core/limits.ts'

const TORSION = Point.fromHex('26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05')

test('a key pair follows from its seed and keeps a copy of it', () => {
  const seed = new Uint8Array(32).fill(7)
  const pair = keyPairFromSeed(seed)
  seed.fill(0)
  assert.equal(pair.seed, new Uint8Array(32).fill(7))
  assert.equal(pair.publicKey, keyOf(pair.peer))
  assert.is(parsePeerId(pair.peer), pair.peer)
})

test('an honest key is admitted and then known', () => {
  const { publicKey, peer } = keyPairFromSeed(new Uint8Array(32).fill(8))
  assert.not(isAdmitted(peer))
  assert.equal(admitKey(publicKey), { action: 'accept', value: peer })
  assert.ok(isAdmitted(peer))
})

test('a refused key is refused again and never known', () => {
  const mixed = Point.BASE.multiply(99n).add(TORSION).toBytes()
  for (let round = 0; round < 2; round += 1) {
    assert.equal(admitKey(mixed), { action: 'reject', reason: 'key_not_torsion_free' })
    assert.not(isAdmitted(peerIdOf(mixed)))
  }
})

test('every multiple of the torsion point is refused, alone and added to an honest key', () => {
  const honest = Point.BASE.multiply(12_345n)
  for (let factor = 1n; factor < 8n; factor += 1n) {
    const torsion = TORSION.multiply(factor)
    assert.equal(admitKey(torsion.toBytes()), { action: 'reject', reason: 'key_small_order' })
    assert.equal(admitKey(honest.add(torsion).toBytes()), { action: 'reject', reason: 'key_not_torsion_free' })
  }
  assert.is(admitKey(honest.toBytes()).action, 'accept')
})

test('an encoding is canonical below p only, and without a sign where x is zero', () => {
  const encoded = (first: number, last: number) => new Uint8Array(32).fill(0xff).with(0, first).with(31, last)
  assert.ok(isCanonicalPoint(encoded(0xeb, 0x7f)))
  assert.ok(isCanonicalPoint(encoded(0xec, 0x7f)))
  assert.not(isCanonicalPoint(encoded(0xec, 0xff)))
  for (let first = 0xed; first <= 0xff; first += 1) {
    assert.not(isCanonicalPoint(encoded(first, 0x7f)))
    assert.not(isCanonicalPoint(encoded(first, 0xff)))
  }
  assert.ok(isCanonicalPoint(new Uint8Array(32).with(0, 1)))
  assert.not(isCanonicalPoint(new Uint8Array(32).with(0, 1).with(31, 0x80)))
})

test('a full memory of keys lets the oldest go, and holds a whole roster', () => {
  const cache = new Map<string, number>()
  for (let count = 0; count < 10; count += 1) rememberWithin(cache, `key ${count}`, count, 3)
  assert.equal([...cache.values()], [7, 8, 9])
  rememberWithin(cache, 'key 9', 10, 3)
  assert.equal([...cache.values()], [7, 8, 10])
  assert.ok(LIMITS.admittedKeyCacheMax >= LIMITS.memberCountMax)
})

test.run()
