import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { openAs, sealAs } from '../../../../core/identity/envelope.ts'
import type { KeyPair } from '../../../../core/identity/keys.ts'
import { judgeFindings } from '../../../../core/job/judge.ts'
import type { FindingProposal } from '../../../../core/job/proposal.ts'
import { type Timeline, timelineCodec } from '../../../../core/latency/timeline.ts'
import { witnessesFor } from '../../../../core/log/witnesses.ts'
import { commitmentCodec, revealCodec } from '../../../../core/verification/commitment.ts'
import { findingCodec } from '../../../../core/verification/finding.ts'
import { EDGE, expectAccepted, JobRun, OUTPUT, secretOf } from '../../../support/job-run.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed } from '../../../support/people.ts'

const REPLICAS = [0, 1, 2] as const
const SEEN = [18_000, 25_000, 24_000]

type Scene = {
  readonly run: JobRun
  readonly speeds: (timelines: readonly (readonly Uint8Array[])[]) => readonly number[]
}

function scene(speedTarget = 20, change: Partial<FindingProposal> = {}): Scene {
  const run = new JobRun({ intent: { replicas: REPLICAS.length, speedTarget } })
  run.execute(REPLICAS.map(() => OUTPUT))
  const speeds: Scene['speeds'] = (lists) => {
    const timelines = REPLICAS.map((replica) => ({ envelopes: [...(lists[replica] ?? [])] }))
    const judged = expectAccepted(judgeFindings(run.bench(), { ...run.findingProposal, timelines, ...change }))
    return judged.map(({ body }) => expectAccepted(findingCodec.decode(body)).tokensPerSecondMilli)
  }
  return { run, speeds }
}

function witnesses({ run }: Scene, replica: number): readonly KeyPair[] {
  const { holdHash, attempt, edge, workers } = run.swarm.job(run.id)
  const worker = workers[replica] ?? missing()
  return witnessesFor(run.swarm.state, { holdHash, attempt, replica, worker, edge }).map(secretOf)
}

function timeline({ run }: Scene, replica: number, signer: KeyPair, parts: Partial<Timeline> = {}): Uint8Array {
  const { swarmId } = run.swarm.state
  const claim = run.claims.get(replica) ?? missing()
  const {
    chainHead,
    chunkCount,
    tokenCount: tokens,
  } = expectAccepted(openAs(commitmentCodec, claim.commitment, swarmId)).value
  const seen: Timeline = {
    ...{ jobId: run.id, attempt: 0, replica, chunkCount, chainHead, tokens },
    ...{ ttftMs: 9, tokensPerSecondMilli: 20_000, gapP50Ms: 0, gapP99Ms: 0 },
  }
  return sealAs(timelineCodec, { ...seen, ...parts }, swarmId, signer)
}

/** What three witnesses say of a replica's stream. */
function threeOf(given: Scene, replica: number, parts: Partial<Timeline> = {}): readonly Uint8Array[] {
  return witnesses(given, replica).map((key, place) =>
    timeline(given, replica, key, { tokensPerSecondMilli: SEEN[place] ?? 0, ...parts }),
  )
}

test('a finding states the median of three witnesses, whatever their order', () => {
  const given = scene()
  assert.is(witnesses(given, 0).length, 3)
  assert.equal(given.speeds(REPLICAS.map((replica) => threeOf(given, replica))), [24_000, 24_000, 24_000])
  assert.equal(given.speeds([threeOf(given, 0).toReversed(), [], threeOf(given, 2)]), [24_000, 0, 24_000])
})

test('where the intent offers nothing for speed nobody’s timelines are read', () => {
  const given = scene(0)
  assert.equal(given.speeds(REPLICAS.map((replica) => threeOf(given, replica))), [0, 0, 0])
})

test('two witnesses, or one of them twice, vouch for nothing', () => {
  const given = scene()
  const [a = missing(), b = missing()] = threeOf(given, 0)
  for (const envelopes of [[a, b], [a, b, b], [a], []]) assert.equal(given.speeds([envelopes]), [0, 0, 0])
})

test('timelines of strangers, of another stream, or of a part of it do not count', () => {
  const given = scene()
  const [a = missing(), b = missing(), c = missing()] = witnesses(given, 0)
  const ab = [timeline(given, 0, a), timeline(given, 0, b)]
  const thirds = [
    timeline(given, 0, EDGE),
    timeline(given, 1, c),
    timeline(given, 0, c, { jobId: digestNamed('older') }),
    timeline(given, 0, c, { attempt: 1 }),
    timeline(given, 0, c, { chainHead: digestNamed('another chain') }),
    timeline(given, 0, c, { tokens: 1 }),
    timeline(given, 0, c, { chunkCount: 9 }),
    timeline(given, 0, c).with(-1, 0),
    new Uint8Array(),
  ]
  for (const third of thirds) assert.equal(given.speeds([[...ab, third]]), [0, 0, 0])
  assert.equal(given.speeds([[...ab, timeline(given, 0, c)]]), [20_000, 0, 0])
})

test('a worker that does not show its chain is not paid for speed', () => {
  const plain = scene()
  const [first = missing(), ...others] = plain.run.findingProposal.reveals
  const hidden = revealCodec.encode({ ...expectAccepted(revealCodec.decode(first)), links: [] })
  const given = scene(20, { reveals: [hidden, ...others] })
  assert.equal(given.speeds([threeOf(given, 0), threeOf(given, 1)]), [0, 24_000, 0])
})

test.run()
