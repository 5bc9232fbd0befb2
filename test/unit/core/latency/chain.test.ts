import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeWire, encodeWire } from '../../../../core/codec/canonical.ts'
import { openAs, readAs, sealAs } from '../../../../core/identity/envelope.ts'
import type { KeyPair } from '../../../../core/identity/keys.ts'
import {
  type Ack,
  ackCodec,
  acknowledge,
  acknowledgeUnverified,
  type ChainState,
  type Chunk,
  chainStart,
  chunkCodec,
  chunkLeaf,
  extendChain,
  mustWait,
  nextAck,
  nextChunk,
  openChain,
} from '../../../../core/latency/chain.ts'
import { LIMITS } from '../../../../core/limits.ts'
import type { Validation } from '../../../../core/validation.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed, jobNamed, keyNamed, swarmNamed } from '../../../support/people.ts'

const SWARM = swarmNamed('swarm')
const [WORKER, EDGE] = [keyNamed('worker'), keyNamed('edge')]
const START = {
  swarmId: SWARM,
  jobId: jobNamed('job'),
  attempt: 0,
  replica: 1,
  worker: WORKER.peer,
  receiver: EDGE.peer,
  nonce: new Uint8Array(16).fill(1),
}
const IDS = [5, 6, 7]

function taken<T>(validation: Validation<T>): T {
  return validation.action === 'accept' ? validation.value : missing(JSON.stringify(validation))
}

const verdict = (validation: Validation<unknown>) => (validation.action === 'accept' ? 'accept' : validation.reason)

const chunkBy = (chunk: Chunk, key: KeyPair = WORKER) =>
  taken(openAs(chunkCodec, sealAs(chunkCodec, chunk, SWARM, key), SWARM))
const ackBy = (ack: Ack, key: KeyPair = EDGE) => taken(openAs(ackCodec, sealAs(ackCodec, ack, SWARM, key), SWARM))
const nonce = (index: number) => new Uint8Array(16).fill(100 + index)

const send = (state: ChainState) => taken(extendChain(state, chunkBy(nextChunk(state, IDS, BigInt(state.chunkCount)))))
const answer = (state: ChainState) =>
  taken(acknowledge(state, ackBy(nextAck(state, BigInt(state.ackCount), nonce(state.ackCount + 1)))))
const after = (chunkCount: number) =>
  Array.from({ length: chunkCount }).reduce<ChainState>((state) => answer(send(state)), openChain(START))

test('chunks and acks in turn make a chain that both sides agree on', () => {
  const state = after(10)
  assert.is(state.chunkCount, 10)
  assert.is(state.tokenCount, 30)
  assert.is(state.ackCount, 10)
  assert.equal(state.waiting, [])
  assert.is.not(state.head, state.ackHead)
  assert.equal(after(10), state)
})

test('the start binds swarm, job, attempt, replica, worker, receiver and nonce', () => {
  const starts = [
    START,
    { ...START, swarmId: swarmNamed('other') },
    { ...START, jobId: jobNamed('job 2') },
    { ...START, attempt: 1 },
    { ...START, replica: 0 },
    { ...START, worker: EDGE.peer },
    { ...START, receiver: WORKER.peer },
    { ...START, nonce: new Uint8Array(16) },
  ].map(chainStart)
  assert.is(new Set(starts).size, starts.length)
})

test('a chunk by anybody but the worker, an ack by anybody but the receiver, are refused', () => {
  const state = openChain(START)
  assert.is(verdict(extendChain(state, chunkBy(nextChunk(state, IDS, 0n), EDGE))), 'signer_mismatch')
  const sent = send(state)
  assert.is(verdict(acknowledge(sent, ackBy(nextAck(sent, 0n, nonce(1)), WORKER))), 'signer_mismatch')
})

test('any tampered field of a chunk is refused', () => {
  const state = after(3)
  const honest = nextChunk(state, IDS, 9n)
  assert.is(verdict(extendChain(state, chunkBy(honest))), 'accept')
  const tampered: readonly (readonly [Partial<Chunk>, string])[] = [
    [{ jobId: jobNamed('job 2') }, 'chunk_mismatch'],
    [{ attempt: 1 }, 'chunk_mismatch'],
    [{ replica: 0 }, 'chunk_mismatch'],
    [{ index: 2 }, 'chunk_out_of_order'],
    [{ index: 4 }, 'chunk_out_of_order'],
    [{ tokenStart: 8 }, 'chunk_out_of_order'],
    [{ tokenStart: 10 }, 'chunk_out_of_order'],
    [{ tokenCount: 0 }, 'chunk_mismatch'],
    [{ tokenCount: LIMITS.chunkTokensMax + 1 }, 'chunk_mismatch'],
    [{ previous: digestNamed('other') }, 'chunk_out_of_order'],
    [{ previous: openChain(START).head }, 'chunk_out_of_order'],
    [{ echoedNonce: new Uint8Array(16) }, 'chunk_mismatch'],
    [{ echoedNonce: nonce(4) }, 'chunk_mismatch'],
    [{ monoNs: 1n }, 'chunk_mismatch'],
  ]
  for (const [part, reason] of tampered) {
    assert.is(verdict(extendChain(state, chunkBy({ ...honest, ...part }))), reason, Object.keys(part).join())
  }
})

test('a chunk sent twice is refused, and so is one that was left out', () => {
  const state = openChain(START)
  const first = chunkBy(nextChunk(state, IDS, 0n))
  const one = taken(extendChain(state, first))
  assert.is(verdict(extendChain(one, first)), 'chunk_out_of_order')
  const second = chunkBy(nextChunk(one, IDS, 1n))
  assert.is(verdict(extendChain(state, second)), 'chunk_out_of_order')
})

test('other tokens give another head even when all else is equal', () => {
  const state = openChain(START)
  const [a, b] = [IDS, [5, 6, 8]].map((ids) => taken(extendChain(state, chunkBy(nextChunk(state, ids, 0n)))).head)
  assert.is.not(a, b)
})

test('a leaf binds place and tokens and hides them from whoever lacks the nonce', () => {
  const leaf = chunkLeaf(START, 0, IDS)
  assert.is(chunkLeaf(START, 0, Uint32Array.from(IDS)), leaf)
  assert.is.not(chunkLeaf(START, 1, IDS), leaf)
  assert.is.not(chunkLeaf(START, 0, [5, 6]), leaf)
  assert.is.not(chunkLeaf({ ...START, nonce: new Uint8Array(16) }, 0, IDS), leaf)
})

test('a chain of another run of the same job does not go on here', () => {
  const other = openChain({ ...START, nonce: new Uint8Array(16).fill(9) })
  assert.is(verdict(extendChain(openChain(START), chunkBy(nextChunk(other, IDS, 0n)))), 'chunk_out_of_order')
})

test('a worker runs at most five chunks ahead of its acks and goes on after one', () => {
  let state = openChain(START)
  for (let sent = 0; sent < 5; sent++) {
    assert.not(mustWait(state))
    state = send(state)
  }
  assert.ok(mustWait(state))
  assert.throws(() => nextChunk(state, IDS, 9n), /waits for acks/)
  const next = answer(state)
  assert.not(mustWait(next))
  assert.is(send(next).chunkCount, 6)
})

test('a nonce may be echoed for four chunks more, not for a fifth', () => {
  const state = after(10)
  const honest = nextChunk(state, IDS, 99n)
  assert.is(verdict(extendChain(state, chunkBy({ ...honest, echoedNonce: nonce(6) }))), 'accept')
  assert.is(verdict(extendChain(state, chunkBy({ ...honest, echoedNonce: nonce(5) }))), 'chunk_mismatch')
})

test('any tampered field of an ack is refused', () => {
  const state = send(after(3))
  const honest = nextAck(state, 9n, nonce(4))
  assert.is(verdict(acknowledge(state, ackBy(honest))), 'accept')
  const tampered: readonly (readonly [Partial<Ack>, string])[] = [
    [{ jobId: jobNamed('job 2') }, 'chunk_mismatch'],
    [{ attempt: 1 }, 'chunk_mismatch'],
    [{ replica: 0 }, 'chunk_mismatch'],
    [{ index: 2 }, 'chunk_out_of_order'],
    [{ index: 4 }, 'chunk_out_of_order'],
    [{ chunkHash: digestNamed('other') }, 'chunk_mismatch'],
    [{ previousAck: digestNamed('other') }, 'chunk_out_of_order'],
    [{ receivedNs: 1n }, 'chunk_mismatch'],
  ]
  for (const [part, reason] of tampered) {
    assert.is(verdict(acknowledge(state, ackBy({ ...honest, ...part }))), reason, Object.keys(part).join())
  }
})

/** By the receiver's key, but nobody signed it. */
function forged(ack: Ack): Uint8Array {
  const wire = taken(decodeWire(sealAs(ackCodec, ack, SWARM, EDGE), 1_000))
  assert.ok(Array.isArray(wire))
  return encodeWire([...wire.slice(0, -1), new Uint8Array(64).fill(1)])
}

test('a worker looks at every fourth signature of its receiver, and that one speaks for those before it', () => {
  const taking = (state: ChainState, envelope: Uint8Array) =>
    acknowledgeUnverified(state, taken(readAs(ackCodec, envelope, SWARM)))
  const honest = (state: ChainState) => nextAck(state, BigInt(state.ackCount), nonce(state.ackCount + 1))
  const good = (ack: Ack) => sealAs(ackCodec, ack, SWARM, EDGE)
  for (const ackCount of [3, 7, 11])
    assert.is(verdict(taking(send(after(ackCount)), forged(honest(send(after(ackCount)))))), 'signature_invalid')
  let [worker, receiver] = [send(openChain(START)), send(openChain(START))]
  for (let index = 0; index < 4; index += 1) {
    const ack = honest(receiver)
    receiver = send(taken(acknowledge(receiver, ackBy(ack))))
    const told = index === 2 ? forged({ ...ack, nextNonce: nonce(99) }) : good(ack)
    const next = taking(worker, told)
    assert.is(verdict(next), index === 3 ? 'chunk_out_of_order' : 'accept', `ack ${index}`)
    if (next.action === 'accept') worker = send(next.value)
  }
  assert.is(worker.ackCount, 3, 'what the receiver signed does not follow what it did not')
  assert.is(verdict(taking(worker, sealAs(ackCodec, honest(worker), SWARM, WORKER))), 'signer_mismatch')
})

test('an ack of a chunk that has not come is refused', () => {
  const state = after(1)
  const sent = send(state)
  const early = ackBy(nextAck(sent, 9n, nonce(2)))
  assert.is(verdict(acknowledge(state, early)), 'chunk_out_of_order')
  assert.is(verdict(acknowledge(answer(sent), early)), 'chunk_out_of_order')
  assert.throws(() => nextAck(state, 0n, nonce(2)), /waits for its ack/)
})

test.run()
