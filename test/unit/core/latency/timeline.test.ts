import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Opened } from '../../../../core/identity/envelope.ts'
import { type Chunk, chunkCodec, chunkHash } from '../../../../core/latency/chain.ts'
import type { LatencySummary } from '../../../../core/latency/summary.ts'
import {
  checkTimeline,
  latencyOf,
  openSighting,
  type Sighting,
  sight,
  type Timeline,
  timelineCodec,
  timelineOf,
  witnessesOf,
} from '../../../../core/latency/timeline.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed, jobNamed, keyNamed, swarmNamed, validatorKeys } from '../../../support/people.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const SWARM = swarmNamed('swarm')
const WORKER = keyNamed('worker').peer
const PLACE = { jobId: jobNamed('job'), attempt: 0, replica: 1 }
const OPENED = openSighting({ ...PLACE, swarmId: SWARM, worker: WORKER, tokensMax: 64 })
const MS = 1_000_000n

function chunk(
  seen: Sighting,
  parts: Partial<Chunk> = {},
  signer = WORKER,
): Pick<Opened<Chunk>, 'value' | 'signer' | 'body'> {
  const value: Chunk = {
    ...{ ...PLACE, index: seen.arrivals.length, tokenStart: seen.tokens, tokenCount: 8 },
    ...{ tokensLeaf: digestNamed('leaf'), previous: seen.head ?? digestNamed('start') },
    ...{ echoedNonce: new Uint8Array(16), monoNs: seen.monoNs + MS, ...parts },
  }
  return { value, signer, body: chunkCodec.encode(value) }
}

const after = (seen: Sighting, receivedNs: bigint, parts: Partial<Chunk> = {}): Sighting => {
  const next = sight(seen, chunk(seen, parts), receivedNs)
  return next.action === 'accept' ? next.value : missing(JSON.stringify(next))
}
const refused = (seen: Sighting, parts: Partial<Chunk>, signer = WORKER): string => {
  const next = sight(seen, chunk(seen, parts, signer), 1n)
  return next.action === 'reject' ? next.reason : next.action
}

test('a stream that is seen whole has its head, its tokens and the times of the witness, whatever the worker says of its clock', () => {
  const forged = { monoNs: 1n }
  let seen = OPENED
  for (const ms of [40n, 60n, 90n]) seen = after(seen, ms * MS, forged)
  const last = chunk(after(after(OPENED, 40n * MS, forged), 60n * MS, forged), forged)
  assert.equal(timelineOf(seen), {
    ...{ ...PLACE, chunkCount: 3, chainHead: chunkHash(SWARM, last.body), ttftMs: 40, tokens: 24 },
    ...{ tokensPerSecondMilli: 266_666, gapP50Ms: 20, gapP99Ms: 30 },
  })
})

test('nothing seen is nothing said', () => {
  assert.is(timelineOf(OPENED), undefined)
})

test('another worker’s, another job’s, empty, repeated and skipped chunks are refused', () => {
  const seen = after(OPENED, MS)
  assert.is(refused(seen, {}, keyNamed('thief').peer), 'signer_mismatch')
  assert.is(refused(seen, { jobId: jobNamed('older') }), 'chunk_mismatch')
  assert.is(refused(seen, { attempt: 1 }), 'chunk_mismatch')
  assert.is(refused(seen, { replica: 0 }), 'chunk_mismatch')
  assert.is(refused(seen, { tokenCount: 0 }), 'chunk_mismatch')
  assert.is(refused(seen, { tokenCount: LIMITS.chunkTokensMax + 1 }), 'chunk_mismatch')
  assert.is(refused(seen, { index: 0 }), 'chunk_out_of_order')
  assert.is(refused(seen, { index: 2 }), 'chunk_out_of_order')
  assert.is(refused(seen, { previous: digestNamed('another chain') }), 'chunk_out_of_order')
  assert.is(refused(seen, { monoNs: 0n }), 'chunk_mismatch')
})

test('a stream cannot have more tokens than its job may', () => {
  let seen = OPENED
  for (const ms of [1n, 2n]) seen = after(seen, ms * MS, { tokenCount: 32 })
  assert.is(refused(seen, { tokenCount: 1 }), 'chunk_mismatch')
})

test('tokens that were held back and come at once look slow, not fast', () => {
  let seen = OPENED
  for (let place = 0; place < 4; place += 1) seen = after(seen, 900n * MS)
  const timeline = timelineOf(seen) ?? missing('a timeline')
  assert.is(timeline.ttftMs, 900)
  assert.is(timeline.tokensPerSecondMilli, 35_555)
})

test('witnesses are drawn by the assignment, never among those who have a part in the stream', () => {
  const validators = validatorKeys(7).map(({ peer }) => peer)
  const input = { validators, holdHash: digestNamed('hold'), attempt: 0, replica: 0, isInvolved: () => false }
  const drawn = witnessesOf(input)
  assert.is(drawn.length, 3)
  assert.not.equal(witnessesOf({ ...input, holdHash: digestNamed('other') }).concat(), drawn)
  const [first] = drawn
  const without = witnessesOf({ ...input, isInvolved: (peer) => peer === first })
  assert.not.ok(first !== undefined && without.includes(first))
  assert.equal(without.slice(0, 2), drawn.slice(1))
  assert.is(witnessesOf({ ...input, validators: validators.slice(0, 2) }).length, 2)
})

const OWN: LatencySummary = { ttftMs: 5, tokens: 24, tokensPerSecondMilli: 900_000, gapP50Ms: 1, gapP99Ms: 2 }
const seenBy = (ttftMs: number, tokensPerSecondMilli = 200_000): Timeline => ({
  ...{ ...PLACE, chunkCount: 3, chainHead: digestNamed('head'), tokens: 24 },
  ...{ ttftMs, tokensPerSecondMilli, gapP50Ms: 20, gapP99Ms: 30 },
})

test('a worker and an edge that are friends move the edge’s own figures and no others', () => {
  const latency = latencyOf(OWN, [seenBy(40), seenBy(42), seenBy(41)])
  assert.is(latency.ttftMs, 41)
  assert.ok(latency.isWitnessed)
})

test('fewer than three witnesses are counted and do not count', () => {
  for (const timelines of [[], [seenBy(40)], [seenBy(40), seenBy(41)]]) {
    const latency = latencyOf(OWN, timelines)
    assert.is(latency.ttftMs, OWN.ttftMs)
    assert.not(latency.isWitnessed)
    assert.is(latency.witnesses, timelines.length)
  }
})

test('one of three that lies moves the median no further than to what an honest one saw', () => {
  const random = seededRandom(testSeed())
  for (let round = 0; round < 500; round += 1) {
    const honest = [random.below(5_000), random.below(5_000)].sort((a, b) => a - b)
    const [low = 0, high = 0] = honest
    const { ttftMs } = latencyOf(OWN, [seenBy(low), seenBy(random.below(2 ** 32)), seenBy(high)])
    assert.ok(ttftMs >= low && ttftMs <= high, `${ttftMs} of ${low} to ${high}`)
  }
})

test('a timeline is of a drawn witness, about this stream and its head, and survives its bytes', () => {
  const witness = keyNamed('witness').peer
  const value = seenBy(40)
  assert.equal(timelineCodec.decode(timelineCodec.encode(value)), { action: 'accept', value })
  const about = { ...PLACE, chainHead: digestNamed('head') }
  const said = (parts: Partial<Timeline>, signer = witness): string => {
    const checked = checkTimeline({ value: { ...value, ...parts }, signer }, about, [witness])
    return checked.action === 'reject' ? checked.reason : checked.action
  }
  assert.is(said({}), 'accept')
  assert.is(said({}, keyNamed('stranger').peer), 'signer_mismatch')
  for (const parts of [{ jobId: jobNamed('x') }, { attempt: 1 }, { replica: 0 }, { chainHead: digestNamed('part') }])
    assert.is(said(parts), 'chunk_mismatch')
})

test.run()
