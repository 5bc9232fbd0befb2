import { readFileSync } from 'node:fs'
import * as raw from '@noble/ed25519'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fromHex } from '../../../../core/codec/bytes.ts'
import * as noble from '../../../../core/identity/ed25519.noble.ts'
import * as ed25519 from '../../../../core/identity/ed25519.ts'
import { seedOf } from '../codec/seeded.ts'

const seed = seedOf('ed25519')
const secret = fc.uint8Array({ minLength: 32, maxLength: 32 })
const message = fc.uint8Array({ maxLength: 200 })

test('both implementations make the same key and the same signature, and each verifies it', () => {
  fc.assert(
    fc.property(secret, message, (seedBytes, text) => {
      const { publicKey } = ed25519.keyFromSeed(seedBytes)
      const signature = ed25519.signBytes(seedBytes, text)
      assert.equal(noble.keyFromSeed(seedBytes).publicKey, publicKey)
      assert.equal(noble.signBytes(seedBytes, text), signature)
      assert.ok(ed25519.verifyBytes(publicKey, text, signature))
      assert.ok(noble.verifyBytes(publicKey, text, signature))
    }),
    { seed, numRuns: 20 },
  )
})

test('both implementations refuse a signature with any one bit changed', () => {
  const [seedBytes, text] = [new Uint8Array(32).fill(3), Uint8Array.of(1, 2, 3)]
  const { publicKey } = ed25519.keyFromSeed(seedBytes)
  const signature = ed25519.signBytes(seedBytes, text)
  for (let bit = 0; bit < 512; bit += 1) {
    const changed = signature.with(bit >> 3, (signature[bit >> 3] ?? 0) ^ (1 << (bit & 7)))
    assert.not(ed25519.verifyBytes(publicKey, text, changed), `bit ${bit}`)
    if (bit % 16 === 0) assert.not(noble.verifyBytes(publicKey, text, changed), `bit ${bit}, noble`)
  }
})

test('random bytes for key, message or signature are refused without a throw', () => {
  const loose = fc.uint8Array({ maxLength: 70 })
  fc.assert(
    fc.property(loose, loose, loose, (key, text, signature) => {
      assert.not(ed25519.verifyBytes(key, text, signature))
      assert.not(noble.verifyBytes(key, text, signature))
    }),
    { seed, numRuns: 200 },
  )
})

test('the hostile vectors have teeth: a plain verifier accepts many of them', () => {
  const path = new URL('../../../conformance/vectors/keys.json', import.meta.url)
  const { cases } = JSON.parse(readFileSync(path, 'utf8')) as {
    cases: { accept: boolean; input: Record<string, string> }[]
  }
  const bytesOf = (text: string | undefined) => fromHex(text ?? '') ?? new Uint8Array()
  const fooled = cases.filter(({ accept, input }) => {
    const signature = bytesOf(input['signature'])
    if (accept || signature.length !== 64 || bytesOf(input['publicKey']).length !== 32) return false
    return raw.verify(signature, bytesOf(input['message']), bytesOf(input['publicKey']))
  })
  assert.ok(fooled.length >= 20, `${fooled.length} vectors fool ZIP 215`)
})

test('a seed of another length is a bug', () => {
  assert.throws(() => ed25519.keyFromSeed(new Uint8Array(31)), /invariant broken/)
})

test.run()
