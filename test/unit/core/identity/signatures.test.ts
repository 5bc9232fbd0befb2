import { test } from 'uvu'
import * as assert from 'uvu/assert'
import * as ed25519 from '../../../../core/identity/ed25519.ts'
import { type Envelope, encodeEnvelope, openEnvelope, seal } from '../../../../core/identity/envelope.ts'
import { keyPairFromSeed } from '../../../../core/identity/keys.ts'
import { forgetSignatures, signOnce, verifyOnce } from '../../../../core/identity/signatures.ts'
import { digestOf, parseSwarmId, type SwarmId } from '../../../../core/ids.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { validatorSet } from '../../../../core/quorum/validators.ts'
import { castVote, checkVote, decodeVote, encodeVote, VOTE_BYTES } from '../../../../core/quorum/vote.ts'

const key = keyPairFromSeed(new Uint8Array(32).fill(1))
const other = keyPairFromSeed(new Uint8Array(32).fill(2))
const swarm = swarmOf(7)

function swarmOf(byte: number): SwarmId {
  const id = parseSwarmId(digestOf(new Uint8Array(32).fill(byte)))
  if (id === undefined) throw new Error('a swarm id')
  return id
}

function flipped(bytes: Uint8Array, bit: number): Uint8Array {
  return bytes.with(bit >> 3, (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7)))
}

test('a signature is remembered with every bit of its key, its message and itself', () => {
  const message = Uint8Array.of(1, 2, 3)
  const signature = signOnce(key.seed, message)
  assert.ok(verifyOnce(key.publicKey, message, signature))
  for (let bit = 0; bit < 256; bit += 1) assert.not(verifyOnce(flipped(key.publicKey, bit), message, signature))
  for (let bit = 0; bit < 24; bit += 1) assert.not(verifyOnce(key.publicKey, flipped(message, bit), signature))
  for (let bit = 0; bit < 512; bit += 1) assert.not(verifyOnce(key.publicKey, message, flipped(signature, bit)))
})

test('bytes that move between key, signature and message are other bytes', () => {
  const message = Uint8Array.of(1, 2, 3)
  const signature = signOnce(key.seed, message)
  const joined = Uint8Array.of(...key.publicKey, ...signature, ...message)
  for (const [keyBytes, signatureBytes] of [
    [31, 65],
    [33, 63],
    [32, 63],
    [32, 65],
  ] as const) {
    const end = keyBytes + signatureBytes
    const parts = [joined.slice(0, keyBytes), joined.slice(end), joined.slice(keyBytes, end)] as const
    assert.not(verifyOnce(...parts), `${keyBytes} and ${signatureBytes}`)
  }
})

test('an envelope that was sealed here does not open with any one bit flipped', () => {
  const bytes = encodeEnvelope(seal('note', swarm, Uint8Array.of(1, 2, 3), key))
  assert.is(openEnvelope(bytes, 'note', swarm).action, 'accept')
  for (let bit = 0; bit < bytes.length * 8; bit += 1)
    assert.is(openEnvelope(flipped(bytes, bit), 'note', swarm).action, 'reject', `bit ${bit}`)
  assert.is(openEnvelope(bytes, 'note', swarmOf(8)).action, 'reject', 'another swarm')
  const renamed: Envelope = { ...seal('note', swarm, Uint8Array.of(1, 2, 3), key), type: 'vote' }
  assert.is(openEnvelope(encodeEnvelope(renamed), 'vote', swarm).action, 'reject', 'another type')
})

test('a vote that was cast here does not count with any one bit flipped', () => {
  const set = validatorSet(1n, [key.peer, other.peer])
  const topic = { epoch: 1n, setHash: set.hash, subject: digestOf(new Uint8Array(32)), attempt: 0, index: 0 }
  const vote = castVote(swarm, { kind: 'finding', ...topic, digest: topic.subject }, key)
  const bytes = encodeVote(vote)
  assert.is(checkVote(swarm, set, vote).action, 'accept')
  for (let bit = 0; bit < VOTE_BYTES * 8; bit += 1) {
    const changed = decodeVote(flipped(bytes, bit))
    if (changed.action === 'accept') assert.is(checkVote(swarm, set, changed.value).action, 'reject', `bit ${bit}`)
  }
  assert.is(checkVote(swarmOf(8), set, vote).action, 'reject', 'another swarm')
})

test('who signs with a seed is remembered under its own key, not under the one that it claims', () => {
  const message = Uint8Array.of(9)
  const claimed = { ...key, seed: other.seed }
  assert.not(verifyOnce(claimed.publicKey, message, signOnce(claimed.seed, message)))
  assert.is(openEnvelope(encodeEnvelope(seal('note', swarm, message, claimed)), 'note', swarm).action, 'reject')
})

test('what was forgotten is verified again with the same answer', () => {
  const message = Uint8Array.of(5)
  const signature = signOnce(key.seed, message)
  forgetSignatures()
  assert.ok(verifyOnce(key.publicKey, message, signature))
  assert.ok(verifyOnce(key.publicKey, message, signature))
  assert.not(verifyOnce(key.publicKey, message, flipped(signature, 0)))
})

test('a signature that is asked for again and again stays valid while more of others come than are remembered', () => {
  const first = { message: Uint8Array.of(1), signature: signOnce(key.seed, Uint8Array.of(1)) }
  const pad = new DataView(new ArrayBuffer(4))
  for (let count = 0; count < LIMITS.verifiedSignatureCacheMax; count += 1) {
    pad.setUint32(0, count)
    signOnce(key.seed, new Uint8Array(pad.buffer))
    if (count % 1_000 === 0) assert.ok(verifyOnce(key.publicKey, first.message, first.signature))
  }
  assert.ok(verifyOnce(key.publicKey, first.message, first.signature))
  assert.ok(ed25519.verifyBytes(key.publicKey, first.message, first.signature))
})

test.run()
