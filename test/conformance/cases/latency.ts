import { toHex } from '../../../core/codec/bytes.ts'
import { openAs, sealAs } from '../../../core/identity/envelope.ts'
import type { KeyPair } from '../../../core/identity/keys.ts'
import { invariant } from '../../../core/invariant.ts'
import {
  type Ack,
  ackCodec,
  acknowledge,
  type ChainState,
  type Chunk,
  chainStart,
  chunkCodec,
  extendChain,
  nextAck,
  nextChunk,
  openChain,
} from '../../../core/latency/chain.ts'
import type { RejectReason, Validation } from '../../../core/validation.ts'
import { digestNamed, jobNamed, keyNamed, swarmNamed } from '../../support/people.ts'
import type { Texts, VectorCase, VectorFile } from '../vector.ts'

const SWARM = swarmNamed('vector swarm')
const [WORKER, EDGE] = [keyNamed('vector worker'), keyNamed('vector edge')]
const START = {
  swarmId: SWARM,
  jobId: jobNamed('vector job'),
  attempt: 0,
  replica: 1,
  worker: WORKER.peer,
  receiver: EDGE.peer,
  nonce: Uint8Array.from({ length: 16 }, (_, index) => index),
}

type Frame = { readonly type: 'chunk' | 'ack'; readonly envelope: string }
type Run = { readonly state: ChainState; readonly frames: readonly Frame[] }

function taken<T>(validation: Validation<T>): T {
  invariant(validation.action === 'accept', 'an honest run')
  return validation.value
}

const frameOfChunk = (chunk: Chunk, key: KeyPair = WORKER, swarmId = SWARM): Frame => ({
  type: 'chunk',
  envelope: toHex(sealAs(chunkCodec, chunk, swarmId, key)),
})
const frameOfAck = (ack: Ack, key: KeyPair = EDGE): Frame => ({
  type: 'ack',
  envelope: toHex(sealAs(ackCodec, ack, SWARM, key)),
})

const chunkAfter = ({ state }: Run, ids: readonly number[] = [5, 6, 7]) =>
  nextChunk(state, ids, BigInt(state.chunkCount) * 1_000_000n)
const ackAfter = ({ state }: Run) =>
  nextAck(state, BigInt(state.ackCount) * 2_000_000n, new Uint8Array(16).fill(state.ackCount + 1))

function sent(run: Run, ids?: readonly number[]): Run {
  const chunk = chunkAfter(run, ids)
  const opened = taken(openAs(chunkCodec, sealAs(chunkCodec, chunk, SWARM, WORKER), SWARM))
  return { state: taken(extendChain(run.state, opened)), frames: [...run.frames, frameOfChunk(chunk)] }
}

function answered(run: Run): Run {
  const ack = ackAfter(run)
  const opened = taken(openAs(ackCodec, sealAs(ackCodec, ack, SWARM, EDGE), SWARM))
  return { state: taken(acknowledge(run.state, opened)), frames: [...run.frames, frameOfAck(ack)] }
}

const EMPTY: Run = { state: openChain(START), frames: [] }
const repeat = (count: number, step: (run: Run) => Run, from = EMPTY) =>
  Array.from({ length: count }).reduce<Run>((run) => step(run), from)
const TURNS = repeat(3, (run) => answered(sent(run)))

function inputOf(frames: readonly Frame[]): Texts {
  const { nonce, ...start } = START
  return { start: { ...start, nonce: toHex(nonce) }, frames }
}

function accepted(name: string, { state, frames }: Run): VectorCase {
  const { head, ackHead, chunkCount, tokenCount } = state
  return {
    name,
    accept: true,
    input: inputOf(frames),
    expect: { start: chainStart(START), end: { head, ackHead, chunkCount, tokenCount } },
  }
}

function refused(name: string, reason: RejectReason, frames: readonly Frame[]): VectorCase {
  return { name, accept: false, input: inputOf(frames), expect: { reason } }
}

function refusedChunks(): VectorCase[] {
  const chunk = chunkAfter(TURNS)
  const tampered = (name: string, reason: RejectReason, parts: Partial<Chunk>) =>
    refused(`a chunk with ${name}`, reason, [...TURNS.frames, frameOfChunk({ ...chunk, ...parts })])
  const after = (name: string, reason: RejectReason, frame: Frame) => refused(name, reason, [...TURNS.frames, frame])
  return [
    tampered('another job', 'chunk_mismatch', { jobId: jobNamed('other') }),
    tampered('another attempt', 'chunk_mismatch', { attempt: 1 }),
    tampered('another replica', 'chunk_mismatch', { replica: 0 }),
    tampered('an index again', 'chunk_out_of_order', { index: 2 }),
    tampered('an index left out', 'chunk_out_of_order', { index: 4 }),
    tampered('overlapping tokens', 'chunk_out_of_order', { tokenStart: 8 }),
    tampered('no tokens', 'chunk_mismatch', { tokenCount: 0 }),
    tampered('65 tokens', 'chunk_mismatch', { tokenCount: 65 }),
    tampered('another previous hash', 'chunk_out_of_order', { previous: digestNamed('other') }),
    tampered('a nonce that nobody sent', 'chunk_mismatch', { echoedNonce: new Uint8Array(16).fill(255) }),
    tampered('a clock that went back', 'chunk_mismatch', { monoNs: 1n }),
    after('a chunk by somebody else', 'signer_mismatch', frameOfChunk(chunk, EDGE)),
    after(
      'a chunk signed in another swarm',
      'signature_invalid',
      frameOfChunk(chunk, WORKER, swarmNamed('other swarm')),
    ),
    after('an ack where a chunk is named', 'envelope_type_mismatch', {
      ...frameOfAck(ackAfter(sent(TURNS))),
      type: 'chunk',
    }),
    refused('a chunk repeated', 'chunk_out_of_order', [...TURNS.frames.slice(0, 1), ...TURNS.frames.slice(0, 1)]),
    refused('a first chunk left out', 'chunk_out_of_order', TURNS.frames.slice(2)),
  ]
}

function refusedAcks(): VectorCase[] {
  const run = sent(TURNS)
  const ack = ackAfter(run)
  const tampered = (name: string, reason: RejectReason, parts: Partial<Ack>) =>
    refused(`an ack with ${name}`, reason, [...run.frames, frameOfAck({ ...ack, ...parts })])
  return [
    tampered('another job', 'chunk_mismatch', { jobId: jobNamed('other') }),
    tampered('another chunk hash', 'chunk_mismatch', { chunkHash: digestNamed('other') }),
    tampered('another index', 'chunk_out_of_order', { index: 4 }),
    tampered('another previous ack', 'chunk_out_of_order', { previousAck: digestNamed('other') }),
    tampered('a clock that went back', 'chunk_mismatch', { receivedNs: 1n }),
    refused('an ack by the worker', 'signer_mismatch', [...run.frames, frameOfAck(ack, WORKER)]),
    refused('an ack before its chunk', 'chunk_out_of_order', [...TURNS.frames, frameOfAck(ack)]),
  ]
}

export function latencyVectors(): VectorFile {
  return {
    name: 'latency',
    describe:
      'Open each frame in the swarm and follow the chain from its start; accept means that every frame follows.',
    cases: [
      accepted('a chain without chunks', EMPTY),
      accepted('one chunk without its ack', sent(EMPTY)),
      accepted(
        'one chunk of 32 tokens',
        sent(
          EMPTY,
          Array.from({ length: 32 }, (_, id) => id),
        ),
      ),
      accepted('three chunks, each acknowledged', TURNS),
      accepted('five chunks before the first ack', repeat(5, sent)),
      accepted('five chunks, then their acks', repeat(5, answered, repeat(5, sent))),
      ...refusedChunks(),
      ...refusedAcks(),
    ],
  }
}
