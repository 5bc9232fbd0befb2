import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { domainHash, sha256 } from '#core/hash'
import { concatBytes, toHex, utf8 } from '../../../../core/codec/bytes.ts'
import * as twin from '../../../../core/codec/hash.noble.ts'
import { seedOf } from './seeded.ts'

const seed = seedOf('hash')

test('SHA-256 gives the digests of FIPS 180-4', () => {
  assert.is(toHex(sha256()), 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855')
  assert.is(toHex(sha256(utf8('a'), utf8('bc'))), 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad')
})

test('a domain hash is the hash of the domain, a zero byte and the parts', () => {
  const part = Uint8Array.of(1, 2)
  assert.equal(domainHash('job', part), sha256(concatBytes(utf8('cfab/job/v1'), Uint8Array.of(0), part)))
  assert.not.equal(domainHash('job', part), domainHash('jo', part))
})

test('the browser twin gives the same digests', () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 200 }), { maxLength: 4 }), (parts) => {
      assert.equal(twin.sha256(...parts), sha256(...parts))
      assert.equal(twin.domainHash('x', ...parts), domainHash('x', ...parts))
    }),
    { seed, numRuns: 100 },
  )
})

test('a digest is plain bytes of its own, not a view into a pool', () => {
  const digest = sha256(utf8('a'))
  assert.is(digest.constructor, Uint8Array)
  assert.is(digest.buffer.byteLength, 32)
})

test.run()
