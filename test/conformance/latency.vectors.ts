import * as assert from 'uvu/assert'
import { openAs } from '../../core/identity/envelope.ts'
import {
  ackCodec,
  acknowledge,
  type ChainStart,
  type ChainState,
  chainStart,
  chunkCodec,
  extendChain,
  openChain,
} from '../../core/latency/chain.ts'
import { accept, type Validation } from '../../core/validation.ts'
import { digestIn, listOf, numberOf, objectOf, peerOf, swarmIn } from './fields.ts'
import { acceptedOf, bytesOf, type Texts, type VectorCase } from './vector.ts'

export const file = 'latency.json'

function startIn(input: Texts): ChainStart {
  return {
    swarmId: swarmIn(input, 'swarmId'),
    jobId: digestIn(input, 'jobId'),
    attempt: numberOf(input, 'attempt'),
    replica: numberOf(input, 'replica'),
    worker: peerOf(input['worker']),
    receiver: peerOf(input['receiver']),
    nonce: bytesOf(input, 'nonce'),
  }
}

function follow(state: ChainState, frame: Texts): Validation<ChainState> {
  const envelope = bytesOf(frame, 'envelope')
  if (frame['type'] === 'chunk') {
    const chunk = openAs(chunkCodec, envelope, state.start.swarmId)
    return chunk.action === 'accept' ? extendChain(state, chunk.value) : chunk
  }
  const ack = openAs(ackCodec, envelope, state.start.swarmId)
  return ack.action === 'accept' ? acknowledge(state, ack.value) : ack
}

export function check(vector: VectorCase): void {
  const start = startIn(objectOf(vector.input['start']))
  const frames = listOf(vector.input, 'frames').map(objectOf)
  const end = frames.reduce<Validation<ChainState>>(
    (state, frame) => (state.action === 'accept' ? follow(state.value, frame) : state),
    accept(openChain(start)),
  )
  const state = acceptedOf(end, vector)
  if (state === undefined) return
  assert.is(chainStart(start), vector.expect['start'])
  const { head, ackHead, chunkCount, tokenCount } = state
  assert.equal({ head, ackHead, chunkCount, tokenCount }, vector.expect['end'])
}
