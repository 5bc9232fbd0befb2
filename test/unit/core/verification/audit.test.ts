import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type AuditedPosition,
  type AuditReport,
  auditCommit,
  marginRoot,
  type Probe,
  probeDistance,
  probePositions,
  probesAgree,
  probesOf,
  statisticsOf,
} from '../../../../core/verification/audit.ts'
import { digestNamed, jobNamed, keyNamed, swarmNamed } from '../../../support/people.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const at = (
  margin: number,
  topIds: readonly number[] = [7, 8],
  topLogits: readonly number[] = [2, 1],
): AuditedPosition => ({
  ...{ margin, rank: 0, topIds, topLogits },
})

test('statistics clip one large loss in the mean and show it as the worst', () => {
  const found = statisticsOf([at(0), at(0.1), at(8), at(0.5)], [7, 8, 9, 10])
  assert.is(found.positions, 4)
  assert.is(found.meanMicro, 900_000)
  assert.is(found.overCount, 2)
  assert.is(found.worstMicro, 8_000_000)
  assert.is(found.outsideCount, 1)
  assert.is(found.stopMicro, 500_000)
  assert.equal(
    found.worst.map(({ position, claimed, best, margin256 }) => [position, claimed, best, margin256]),
    [
      [1, 8, 7, 26],
      [2, 9, 7, 2048],
      [3, 10, 7, 128],
    ],
  )
})

test('of many losses the sixteen largest are listed, by position', () => {
  const positions = Array.from({ length: 40 }, (_, place) => at(place / 10))
  const { worst } = statisticsOf(positions, new Uint32Array(40))
  assert.equal(
    worst.map(({ position }) => position),
    Array.from({ length: 16 }, (_, place) => 24 + place),
  )
})

test('nothing audited has statistics of nothing', () => {
  const found = statisticsOf([], [])
  assert.equal([found.positions, found.meanMicro, found.worstMicro, found.stopMicro], [0, 0, 0, 0])
})

test('the root of margins changes with each of them, and not with what is below a 512th of a nat', () => {
  const random = seededRandom(testSeed())
  const margins = Array.from({ length: 100 }, () => random.below(2_048) / 256)
  const root = marginRoot(margins)
  const place = random.below(margins.length)
  assert.is.not(marginRoot(margins.with(place, (margins[place] ?? 0) + 1 / 256)), root)
  assert.is(marginRoot(margins.with(place, (margins[place] ?? 0) + 1 / 1_024)), root)
  assert.is.not(marginRoot(margins.slice(1)), root)
})

test('probe positions are ascending, distinct, within the output, and another beacon asks for others', () => {
  const [one, other] = [digestNamed('one'), digestNamed('other')]
  const places = probePositions(one, 0, 500)
  assert.is(places.length, 16)
  assert.equal(
    places,
    [...new Set(places)].sort((a, b) => a - b),
  )
  assert.ok(places.every((place) => place >= 0 && place < 500))
  assert.not.equal(probePositions(other, 0, 500), places)
  assert.not.equal(probePositions(one, 1, 500), places)
  assert.equal(probePositions(one, 0, 3), [0, 1, 2])
  assert.equal(probePositions(one, 0, 17).length, 16)
})

test('probes tell who looked: small differences of logits agree, guesses do not', () => {
  const random = seededRandom(testSeed())
  const positions = Array.from({ length: 64 }, () => at(0, [1, 2, 3], [5 + random.below(3_000) / 1_000, 5, 1]))
  const claimed = positions.map(() => 1)
  const places = probePositions(digestNamed('beacon'), 0, 64)
  const mine = probesOf(positions, places, claimed)
  const shaken = positions.map((one) =>
    at(0, [1, 2, 3], [(Number(one.topLogits[0]) ?? 0) + random.below(100) / 1_000, 5, 1]),
  )
  assert.ok(probesAgree(mine, probesOf(shaken, places, claimed)))
  const guessed = positions.map(() => at(0, [1, 2, 3], [5, 4.99, 1]))
  assert.not(probesAgree(mine, probesOf(guessed, places, claimed)))
  assert.not(probesAgree(mine, []))
  assert.not(probesAgree([], []), 'nothing was shown')
})

test('probes are as far apart as the median of their gaps; another best token moves both gaps', () => {
  const probe = (position: number, gap256: number, topId = 7): Probe => ({ position, topId, gap256, claimedGap256: 0 })
  const mine = [probe(0, 100), probe(1, 500), probe(2, 20)]
  assert.is(probeDistance(mine, [probe(0, 110), probe(1, 500), probe(2, 90)]), 10)
  assert.is(probeDistance(mine, [probe(0, 100, 8), probe(1, 501), probe(2, 20, 8)]), 40)
  assert.is(probeDistance(mine, [probe(0, 100), probe(1, 500)]), undefined)
  assert.is(probeDistance(mine, [probe(0, 100), probe(1, 500), probe(3, 20)]), undefined)
  const five = (gap256: number) => [0, 1, 2, 3, 4].map((position) => probe(position, gap256))
  assert.ok(probesAgree(five(0), five(64)))
  assert.not(probesAgree(five(0), five(65)))
  assert.ok(probesAgree(five(0).slice(1), five(128).slice(1)), 'of few probes the middle one may be an extreme')
  assert.not(probesAgree(five(0).slice(1), five(129).slice(1)))
})

test('a claimed token that is not listed has the largest gap', () => {
  const [probe] = probesOf([at(8, [1, 2], [3, 2.5])], [0], [9])
  assert.equal(probe, { position: 0, topId: 1, gap256: 128, claimedGap256: 0xffff })
})

const REPORT: AuditReport = {
  ...{ jobId: jobNamed('job'), attempt: 0, replica: 0, worker: keyNamed('w0').peer, engineId: 'engine' },
  ...{ commitmentHash: digestNamed('commitment'), policyId: digestNamed('policy'), ...statisticsOf([at(0)], [7]) },
  ...{ probes: probesOf([at(0)], [0], [7]), verdict: 'pass', replayMs: 1, textDigest: digestNamed('text') },
  ...{ salt: new Uint8Array(32), others: [] },
}

test('a commitment to a report depends on its salt, and not on what it was told of others later', () => {
  const swarm = swarmNamed('swarm')
  const commit = (parts: Partial<AuditReport>) => auditCommit(swarm, { ...REPORT, ...parts })
  assert.is.not(commit({}), commit({ salt: new Uint8Array(32).fill(1) }))
  assert.is.not(commit({}), commit({ verdict: 'fail' }))
  assert.is(commit({}), commit({ others: [digestNamed('other')] }))
})

test.run()
