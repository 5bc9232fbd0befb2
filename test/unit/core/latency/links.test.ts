import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  acknowledge,
  type ChainState,
  chunkCodec,
  extendChain,
  nextAck,
  nextChunk,
  openChain,
} from '../../../../core/latency/chain.ts'
import { chainHeadOf, type Link, NOTHING_SHOWN } from '../../../../core/latency/links.ts'
import { LIMITS } from '../../../../core/limits.ts'
import type { Validation } from '../../../../core/validation.ts'
import { missing } from '../../../support/missing.ts'
import { jobNamed, keyNamed, swarmNamed } from '../../../support/people.ts'

const [WORKER, EDGE] = [keyNamed('worker'), keyNamed('edge')]
const NONCE = new Uint8Array(16).fill(1)
const START = {
  ...{ swarmId: swarmNamed('swarm'), jobId: jobNamed('job'), attempt: 0, replica: 1 },
  ...{ worker: WORKER.peer, receiver: EDGE.peer },
}
const FULL = LIMITS.chunkTokensMax
const SIZES = [FULL, 7, 1, FULL, FULL, 3]
const IDS = Array.from({ length: SIZES.reduce((sum, size) => sum + size, 0) }, (_, id) => id * 3)

function taken<T>(validation: Validation<T>): T {
  return validation.action === 'accept' ? validation.value : missing(JSON.stringify(validation))
}

/** Sends the ids in chunks of these sizes, each acknowledged. */
function sent(sizes: readonly number[] = SIZES): { readonly chain: ChainState; readonly links: readonly Link[] } {
  let chain = openChain({ ...START, nonce: NONCE })
  const links: Link[] = []
  for (const [index, size] of sizes.entries()) {
    const value = nextChunk(chain, IDS.slice(chain.tokenCount, chain.tokenCount + size), BigInt(index * 7))
    chain = taken(extendChain(chain, { value, signer: WORKER.peer, body: chunkCodec.encode(value) }))
    const ack = nextAck(chain, BigInt(index), new Uint8Array(16).fill(50 + index))
    chain = taken(acknowledge(chain, { value: ack, signer: EDGE.peer, body: new Uint8Array() }))
    links.push(value)
  }
  return { chain, links }
}

test('the head of a chain follows from the tokens, nonce 0 and three fields a chunk', () => {
  const { chain, links } = sent()
  assert.is(chainHeadOf(START, IDS, { nonce: NONCE, links }), chain.head)
  assert.is(chainHeadOf(START, Uint32Array.from(IDS), { nonce: NONCE, links }), chain.head)
  assert.is(chainHeadOf(START, [], NOTHING_SHOWN), openChain({ ...START, ...NOTHING_SHOWN }).head)
})

test('another token, nonce, clock, order of chunks, worker, edge or job has another head', () => {
  const { chain, links } = sent()
  const [first = missing(), second = missing(), ...rest] = links
  const shown = { nonce: NONCE, links }
  const others = [
    ...IDS.map((_, place) => chainHeadOf(START, IDS.with(place, 1), shown)),
    chainHeadOf(START, IDS, { links, nonce: NONCE.with(15, 2) }),
    chainHeadOf(START, IDS, { nonce: NONCE, links: [{ ...first, monoNs: 1n }, second, ...rest] }),
    chainHeadOf(START, IDS, { nonce: NONCE, links: [{ ...first, echoedNonce: NONCE.with(0, 9) }, second, ...rest] }),
    chainHeadOf(START, IDS, { nonce: NONCE, links: [second, first, ...rest] }),
    chainHeadOf({ ...START, worker: EDGE.peer }, IDS, shown),
    chainHeadOf({ ...START, receiver: WORKER.peer }, IDS, shown),
    chainHeadOf({ ...START, attempt: 1 }, IDS, shown),
    chainHeadOf({ ...START, replica: 0 }, IDS, shown),
    chainHeadOf({ ...START, jobId: jobNamed('job 2') }, IDS, shown),
  ]
  for (const head of others) assert.not.equal(head, chain.head)
})

test('links of more or fewer tokens than the output, or of chunks that are none, have no head', () => {
  const { links } = sent()
  const [first = missing(), ...rest] = links
  for (const wrong of [rest, links.slice(0, -1), [...links, { ...first, tokenCount: 1 }]])
    assert.is(chainHeadOf(START, IDS, { nonce: NONCE, links: wrong }), undefined)
  assert.is(chainHeadOf(START, IDS, { nonce: NONCE, links: [{ ...first, tokenCount: 0 }, ...links] }), undefined)
  assert.is(
    chainHeadOf(START, IDS, { nonce: NONCE, links: [{ ...first, tokenCount: FULL + 7 }, ...rest.slice(1)] }),
    undefined,
  )
})

test.run()
