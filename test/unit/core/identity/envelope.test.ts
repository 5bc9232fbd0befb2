import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { domainHash } from '#core/hash'
import { concatBytes, toHex, utf8 } from '../../../../core/codec/bytes.ts'
import { encodeWire } from '../../../../core/codec/canonical.ts'
import { bytesMax, code, defineBody, digest, text, u8, u32 } from '../../../../core/codec/schema.ts'
import * as e from '../../../../core/identity/envelope.ts'
import { keyPairFromSeed } from '../../../../core/identity/keys.ts'
import { digestBytes, digestOf, type SwarmId } from '../../../../core/ids.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { seedOf } from '../codec/seeded.ts'

const seed = seedOf('envelope')
const swarm = digestOf(new Uint8Array(32).fill(5)) as SwarmId
const otherSwarm = digestOf(new Uint8Array(32).fill(6)) as SwarmId
const key = keyPairFromSeed(new Uint8Array(32).fill(1))
const codec = defineBody('note', { place: u8(), word: text(20) }, 64)
const NOTE = { place: 3, word: 'hello' }

function refusal(bytes: Uint8Array, type = 'note', swarmId = swarm): string {
  const opened = e.openEnvelope(bytes, type, swarmId)
  return opened.action === 'reject' ? opened.reason : opened.action
}

test('what is signed is the domain, a zero byte, the swarm and the body', () => {
  const body = Uint8Array.of(1, 2)
  const expected = concatBytes(utf8('cfab/note/v1'), Uint8Array.of(0), digestBytes(swarm), body)
  assert.equal(e.signedBytes('note', swarm, body), expected)
})

test('a sealed body opens with its signer and the very bytes that were signed', () => {
  const bytes = e.sealAs(codec, NOTE, swarm, key)
  const opened = e.openAs(codec, bytes, swarm)
  assert.equal(opened, {
    action: 'accept',
    value: { value: NOTE, signer: key.peer, body: codec.encode(NOTE), envelope: bytes },
  })
})

test('the example of docs/PROTOCOL.md comes out byte for byte', () => {
  const answer = defineBody(
    'answer',
    { jobId: digest(), attempt: u32(), answer: code(['accept', 'busy']), slotsFree: u8() },
    128,
  )
  const exampleSwarm = digestOf(domainHash('vector', utf8('swarm'))) as SwarmId
  const value = { jobId: digestOf(new Uint8Array(32).fill(0xaa)), attempt: 1, answer: 'busy', slotsFree: 200 } as const
  const body = `9501c420${'aa'.repeat(32)}0101ccc8`
  const signature =
    'c621cebd428e7aca687a0cf8da1e22a18642b0dc1a9993a89bbfed5b3a07bf98473a9f828d1450d575190f861ed8dc6238dec1f91a7585f8d51256d3b85ae80c'
  assert.is(toHex(answer.encode(value)), body)
  assert.is(
    toHex(e.sealAs(answer, value, exampleSwarm, key)),
    `9501a6616e73776572c428${body}c420${toHex(key.publicKey)}c440${signature}`,
  )
})

test('any single bit changed in a sealed envelope refuses it', () => {
  const bytes = e.sealAs(codec, NOTE, swarm, key)
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const changed = bytes.with(bit >> 3, (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7)))
    assert.is(e.openAs(codec, changed, swarm).action, 'reject', `bit ${bit}`)
  }
})

test('read without its signature, an envelope says the same, and says when asked whether it is signed, here and by its signer', () => {
  const bytes = e.sealAs(codec, NOTE, swarm, key)
  const read = (envelope: Uint8Array, swarmId = swarm) => e.readAs(codec, envelope, swarmId)
  const whole = read(bytes)
  assert.ok(whole.action === 'accept' && whole.value.isSigned())
  const { isSigned: _, ...parts } = whole.value
  assert.equal({ action: 'accept', value: parts }, e.openAs(codec, bytes, swarm))
  const elsewhere = read(bytes, digestOf(domainHash('vector', utf8('elsewhere'))) as SwarmId)
  assert.ok(elsewhere.action === 'accept' && !elsewhere.value.isSigned())
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const changed = read(bytes.with(bit >> 3, (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))))
    assert.ok(changed.action !== 'accept' || !changed.value.isSigned(), `bit ${bit}`)
  }
})

test('any byte added, removed or exchanged in a sealed envelope refuses it', () => {
  const bytes = e.sealAs(codec, NOTE, swarm, key)
  const change = fc.tuple(fc.nat({ max: bytes.length - 1 }), fc.uint8Array({ maxLength: 4 }), fc.nat({ max: 4 }))
  fc.assert(
    fc.property(change, ([place, inserted, removed]) => {
      const changed = concatBytes(bytes.subarray(0, place), inserted, bytes.subarray(place + removed))
      const isSame = Buffer.compare(changed, bytes) === 0
      assert.is(e.openAs(codec, changed, swarm).action, isSame ? 'accept' : 'reject')
    }),
    { seed, numRuns: 400 },
  )
})

test('random bytes never open and never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) =>
      assert.is(e.openEnvelope(bytes, 'note', swarm).action, 'reject'),
    ),
    { seed, numRuns: 500 },
  )
})

test('a signature says nothing in another swarm or under another type', () => {
  const bytes = e.sealAs(codec, NOTE, swarm, key)
  assert.is(refusal(bytes, 'note', otherSwarm), 'signature_invalid')
  assert.is(refusal(bytes, 'vote'), 'envelope_type_mismatch')
  const renamed = encodeWire([
    1,
    'vote',
    codec.encode(NOTE),
    key.publicKey,
    e.seal('note', swarm, codec.encode(NOTE), key).signature,
  ])
  assert.is(refusal(renamed, 'vote'), 'signature_invalid')
})

test('a body that is signed but malformed is refused after its signature', () => {
  const malformed = e.encodeEnvelope(e.seal('note', swarm, encodeWire([1, 3]), key))
  const opened = e.openAs(codec, malformed, swarm)
  assert.equal(opened, { action: 'reject', reason: 'body_malformed', where: 'note' })
})

test('an envelope over its bound is refused before anything is read', () => {
  const large = e.encodeEnvelope(e.seal('note', swarm, new Uint8Array(codec.bytesMax + 100), key))
  const opened = e.openAs(codec, large, swarm)
  assert.equal(opened, { action: 'reject', reason: 'bytes_too_large' })
  assert.is(refusal(new Uint8Array(LIMITS.envelopeBytesMax + 1)), 'bytes_too_large')
})

test('the largest body of the longest type is within the overhead that is allowed', () => {
  const longest = defineBody('a'.repeat(32), { rest: bytesMax(70_000) }, 70_007)
  const bytes = e.sealAs(longest, { rest: new Uint8Array(70_000) }, swarm, key)
  assert.is(bytes.length, longest.bytesMax + e.ENVELOPE_OVERHEAD_BYTES)
  assert.is(e.openAs(longest, bytes, swarm).action, 'accept')
})

test('a type that could be mistaken is a bug in the caller', () => {
  for (const type of ['', 'Note', 'no te', 'note\0', 'a/b', 'a'.repeat(33)]) {
    assert.throws(() => e.signedBytes(type, swarm, new Uint8Array()), /invariant broken/)
  }
})

test('what is opened does not change when the sender reuses its buffer', () => {
  const bytes = e.sealAs(codec, NOTE, swarm, key)
  const opened = e.openAs(codec, bytes, swarm)
  bytes.fill(0)
  assert.ok(opened.action === 'accept' && opened.value.envelope[0] !== 0 && opened.value.body[0] !== 0)
})

test.run()
