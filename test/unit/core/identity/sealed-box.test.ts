import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { x25519 as curves25519, ed25519 as curvesEd25519 } from '@noble/curves/ed25519.js'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex, utf8 } from '../../../../core/codec/bytes.ts'
import { keyPairFromSeed } from '../../../../core/identity/keys.ts'
import { montgomeryKeyOf } from '../../../../core/identity/montgomery.ts'
import { AnswerOpener, AnswerSealer } from '../../../../core/identity/sealed-answers.ts'
import { BOX_OVERHEAD_BYTES, type BoxContext, openBox, sealBox } from '../../../../core/identity/sealed-box.ts'
import * as noble from '../../../../core/identity/x25519.noble.ts'
import * as node from '../../../../core/identity/x25519.ts'
import type { JobId, SwarmId } from '../../../../core/ids.ts'
import { expectAccepted } from '../../../support/job-run.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed, keyNamed, swarmNamed } from '../../../support/people.ts'
import { seedOf } from '../codec/seeded.ts'

const seed = seedOf('sealed-box')
const bytes32 = fc.uint8Array({ minLength: 32, maxLength: 32 })
const bytes12 = fc.uint8Array({ minLength: 12, maxLength: 12 })
const loose = fc.uint8Array({ maxLength: 300 })
const [EDGE, WORKER] = [keyNamed('edge'), keyNamed('worker')]
const CONTEXT: BoxContext = {
  swarmId: swarmNamed('sealed') as SwarmId,
  kind: 'job/execute',
  jobId: digestNamed('job') as JobId,
  from: EDGE.peer,
  to: WORKER.peer,
}

test('both implementations agree on keys, shared secrets, authentication codes and ciphers', () => {
  fc.assert(
    fc.property(bytes32, bytes32, bytes12, loose, loose, (secret, other, nonce, aad, text) => {
      assert.equal(noble.x25519SecretOf(secret), node.x25519SecretOf(secret))
      const receiver = curves25519.getPublicKey(other)
      const sent = node.x25519Send(secret, receiver) ?? missing('a secret')
      assert.equal(noble.x25519Send(secret, receiver), sent)
      assert.equal(sent.publicKey, curves25519.getPublicKey(secret))
      assert.equal(node.x25519Receive(other, sent.publicKey), sent.shared)
      assert.equal(noble.x25519Receive(other, sent.publicKey), sent.shared)
      for (const key of [secret, nonce, new Uint8Array(), new Uint8Array(64).fill(1)])
        assert.equal(noble.hmacSha256(key, text, aad), node.hmacSha256(key, text, aad))
      const sealed = node.aeadSeal(secret, nonce, aad, text)
      assert.equal(noble.aeadSeal(secret, nonce, aad, text), sealed)
      assert.equal(noble.aeadOpen(secret, nonce, aad, sealed), text)
      assert.equal(node.aeadOpen(secret, nonce, aad, sealed), text)
    }),
    { seed, numRuns: 30 },
  )
})

test('both implementations refuse any bytes as ciphertext, and agree on any bytes as a key', () => {
  fc.assert(
    fc.property(bytes32, bytes12, loose, bytes32, (key, nonce, sealed, publicKey) => {
      assert.is(node.aeadOpen(key, nonce, utf8(''), sealed), undefined)
      assert.is(noble.aeadOpen(key, nonce, utf8(''), sealed), undefined)
      assert.equal(noble.x25519Receive(key, publicKey), node.x25519Receive(key, publicKey))
    }),
    { seed, numRuns: 30 },
  )
})

test('the key of an identity is the one that a library maps it to, and belongs to the secret of its seed', () => {
  fc.assert(
    fc.property(bytes32, (secret) => {
      const { peer, publicKey } = keyPairFromSeed(secret)
      assert.equal(montgomeryKeyOf(peer), curvesEd25519.utils.toMontgomery(publicKey))
      assert.equal(montgomeryKeyOf(peer), curves25519.getPublicKey(node.x25519SecretOf(secret)))
      assert.equal(montgomeryKeyOf(peer), curves25519.getPublicKey(curvesEd25519.utils.toMontgomerySecret(secret)))
    }),
    { seed, numRuns: 20 },
  )
})

test('what is sealed opens for its receiver and shows nothing of what is in it', () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 8, maxLength: 300 }), bytes32, (words, ephemeral) => {
      const { box, answerSecret } = sealBox(CONTEXT, words, ephemeral)
      assert.is(box.length, words.length + BOX_OVERHEAD_BYTES)
      assert.not(toHex(box).includes(toHex(words)))
      assert.equal(expectAccepted(openBox(WORKER, CONTEXT, box)), { plaintext: words, answerSecret })
    }),
    { seed, numRuns: 20 },
  )
})

test('another ephemeral secret makes another box of the same words', () => {
  const boxes = [1, 2].map((byte) => sealBox(CONTEXT, utf8('words'), new Uint8Array(32).fill(byte)).box)
  assert.not.equal(boxes[0]?.subarray(0, 32), boxes[1]?.subarray(0, 32))
  assert.not.equal(boxes[0]?.subarray(32), boxes[1]?.subarray(32))
})

test('a box with any one bit changed, and any other bytes, are refused without a throw', () => {
  const { box } = sealBox(CONTEXT, utf8('words'), new Uint8Array(32).fill(1))
  for (let bit = 0; bit < box.length * 8; bit += 1) {
    const changed = box.with(bit >> 3, (box[bit >> 3] ?? 0) ^ (1 << (bit & 7)))
    assert.is(openBox(WORKER, CONTEXT, changed).action, 'reject', `bit ${bit}`)
  }
  fc.assert(
    fc.property(loose, (bytes) => {
      const opened = openBox(WORKER, CONTEXT, bytes)
      assert.is(opened.action, 'reject')
      if (opened.action === 'reject')
        assert.is(opened.reason, bytes.length < BOX_OVERHEAD_BYTES ? 'box_malformed' : 'box_unopened')
    }),
    { seed, numRuns: 300 },
  )
})

test('the vectors hold with the browser’s implementation, too', () => {
  const vectors = new URL('../../../conformance/vectors/sealed-box.json', import.meta.url)
  const checker = new URL('../../../conformance/sealed-box.vectors.ts', import.meta.url)
  const script = `
    import { readFileSync } from 'node:fs'
    import { check } from '${checker.href}'
    const { cases } = JSON.parse(readFileSync(new URL('${vectors.href}'), 'utf8'))
    for (const vector of cases) check(vector)
    console.log(cases.length, import.meta.resolve('#core/x25519'))`
  const args = ['--conditions=browser', '--input-type=module', '--eval', script]
  const cwd = fileURLToPath(new URL('../../../../', import.meta.url))
  const said = execFileSync(process.execPath, args, { cwd, encoding: 'utf8', timeout: 60_000 })
  assert.match(said, /^\d\d file:.*\/x25519\.noble\.ts/)
})

const FRAMES = ['one', '', 'three'].map((text) => utf8(text))

function sealedFrames(secret: Uint8Array, salt = new Uint8Array(32).fill(9)): readonly Uint8Array[] {
  const sealer = new AnswerSealer(secret, salt)
  return FRAMES.map((frame) => sealer.seal(frame))
}

test('answers open in their order, once each, and for nobody else', () => {
  const { box, answerSecret } = sealBox(CONTEXT, utf8('order'), new Uint8Array(32).fill(1))
  const own = expectAccepted(openBox(WORKER, CONTEXT, box)).answerSecret
  const sealed = sealedFrames(own)
  const opener = new AnswerOpener(answerSecret)
  assert.equal(
    sealed.map((frame) => expectAccepted(opener.open(frame))),
    FRAMES,
  )
  const ends = (secret: Uint8Array, ...places: readonly number[]): readonly string[] => {
    const reader = new AnswerOpener(secret)
    return places.map((place) => reader.open(sealed[place] ?? new Uint8Array()).action)
  }
  assert.equal(ends(answerSecret, 1), ['reject'], 'the second before the first')
  assert.equal(ends(answerSecret, 0, 0), ['accept', 'reject'], 'the first again')
  assert.equal(ends(answerSecret, 0, 2), ['accept', 'reject'], 'the second left out')
  assert.equal(ends(new Uint8Array(32), 0), ['reject'], 'another secret')
  assert.equal(ends(answerSecret, 3), ['reject'], 'no bytes')
})

test('an order that is delivered twice is answered under two keys', () => {
  const [one = [], other = []] = [1, 2].map((byte) => sealedFrames(new Uint8Array(32), new Uint8Array(32).fill(byte)))
  assert.is(one.length, other.length)
  for (const [place, frame] of one.entries())
    assert.not.equal(frame.subarray(place === 0 ? 32 : 0), other[place]?.subarray(place === 0 ? 32 : 0))
})

test.run()
