/** Every bit of what is signed for a verification counts. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { BodyCodec } from '../../core/codec/schema.ts'
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import { ackCodec, chunkCodec } from '../../core/latency/chain.ts'
import { timelineCodec } from '../../core/latency/timeline.ts'
import { auditCodec, auditCommitCodec, statisticsOf } from '../../core/verification/audit.ts'
import { commitmentCodec } from '../../core/verification/commitment.ts'
import { refereeVoteCodec } from '../../core/verification/dispute.ts'
import { digestNamed, jobNamed, keyNamed, swarmNamed } from '../support/people.ts'

const SWARM = swarmNamed('swarm')
const KEY = keyNamed('worker')
const PLACE = { jobId: jobNamed('job'), attempt: 1, replica: 2 }
const NONCE = new Uint8Array(16).fill(7)

/** Refuses or ignores a sealed body after each single change; says how many it read all the same. */
function readAnyway<T>(codec: BodyCodec<T>, value: T): { readonly bits: number; readonly read: number } {
  const envelope = sealAs(codec, value, SWARM, KEY)
  assert.is(openAs(codec, envelope, SWARM).action, 'accept', codec.type)
  let read = 0
  for (let bit = 0; bit < envelope.length * 8; bit += 1) {
    const changed = envelope.slice()
    changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    if (openAs(codec, changed, SWARM).action === 'accept') read += 1
  }
  return { bits: envelope.length * 8, read }
}

function bitTest<T>(codec: BodyCodec<T>, value: T): void {
  test(`no bit of a sealed ${codec.type} can change`, () => {
    const { bits, read } = readAnyway(codec, value)
    console.log(`${codec.type}: ${bits} bits`)
    assert.is(read, 0)
  })
}

const margins = [0, 0.5, 0].map((margin) => ({ margin, rank: 0, topIds: [7, 8], topLogits: [2, 1] }))

bitTest(auditCodec, {
  ...{ ...PLACE, worker: KEY.peer, commitmentHash: digestNamed('commitment'), policyId: digestNamed('policy') },
  ...{
    engineId: 'engine',
    ...statisticsOf(margins, [7, 8, 9]),
    probes: [{ position: 0, topId: 7, gap256: 256, claimedGap256: 0 }],
  },
  ...{ verdict: 'pass', replayMs: 12, textDigest: digestNamed('text') },
  ...{ salt: new Uint8Array(32).fill(3), others: [digestNamed('other')] },
})
bitTest(auditCommitCodec, { ...PLACE, commit: digestNamed('commit') })
bitTest(commitmentCodec, {
  ...{ ...PLACE, assignmentHash: digestNamed('assignment'), outputCommit: digestNamed('output'), tokenCount: 3 },
  ...{ finishReason: 'stop', chunkCount: 1, chainHead: digestNamed('head'), schedule: [4, 5], engineId: 'engine' },
})
bitTest(chunkCodec, {
  ...{ ...PLACE, index: 0, tokenStart: 0, tokenCount: 3, tokensLeaf: digestNamed('leaf') },
  ...{ previous: digestNamed('start'), echoedNonce: NONCE, monoNs: 123_456_789n },
})
bitTest(ackCodec, {
  ...{ ...PLACE, index: 0, chunkHash: digestNamed('chunk'), receivedNs: 5n, nextNonce: NONCE },
  previousAck: digestNamed('start'),
})
bitTest(timelineCodec, {
  ...{ ...PLACE, chunkCount: 4, chainHead: digestNamed('head'), ttftMs: 100, tokens: 99 },
  ...{ tokensPerSecondMilli: 45_000, gapP50Ms: 20, gapP99Ms: 60 },
})
bitTest(refereeVoteCodec, {
  ...{ jobId: PLACE.jobId, dispute: digestNamed('dispute'), replica: 2, commitmentHash: digestNamed('commitment') },
  ...{
    policyId: digestNamed('policy'),
    engineId: 'engine',
    positions: 3,
    meanMicro: 1,
    worstMicro: 2,
    outsideCount: 0,
  },
  ...{ stopMicro: 0, marginRoot: digestNamed('margins'), verdict: 'fail', reason: 'none' },
})

test('a body sealed as one type is none of another, in no other swarm', () => {
  const envelope = sealAs(auditCommitCodec, { ...PLACE, commit: digestNamed('commit') }, SWARM, KEY)
  assert.is(openAs(auditCommitCodec, envelope, swarmNamed('another')).action, 'reject')
  assert.is(openAs(auditCodec, envelope, SWARM).action, 'reject')
  assert.is(openAs(commitmentCodec, envelope, SWARM).action, 'reject')
})

test.run()
