/** The simulation of membership at scale: its targets, that it can be played again, and what liars and churn do to it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { roundsAt, shortfalls, simulateMembers } from '../../../../node/simulation/scale/members.ts'
import { membersPlot } from '../../../../node/simulation/scale/members-plot.ts'
import { studyView } from '../../../../node/simulation/scale/view-study.ts'
import { testSeed } from '../../../support/seeded-random.ts'

const SEED = testSeed()
const SMALL = { regions: 1, peers: 30, views: 1_000, runs: 2, lossPermille: 20, dropperPermille: 50 }
const FAULTS = { lossPermille: 250, deadPermille: 100, dropperPermille: 0, churnPermille: 0, warmRounds: 0 }

test('10,000 views of 30 with 25 % loss and 10 % dead: everybody knows within 11 rounds', () => {
  for (const seed of [SEED, SEED + 1]) {
    const { roundsTo100, coverage } = studyView({ seed, peers: 10_000, ...FAULTS })
    assert.ok(roundsTo100 !== null && roundsTo100 <= 11, `${roundsTo100} rounds`)
    assert.is(coverage.at(-1), 1)
  }
})

test('a third that passes nothing on delays news and keeps it from nobody', () => {
  const { roundsTo100 } = studyView({ seed: SEED, peers: 3_000, ...FAULTS, dropperPermille: 333 })
  assert.ok(roundsTo100 !== null && roundsTo100 <= 20, `${roundsTo100} rounds`)
})

test('views stay whole while one in a hundred comes and goes each round', () => {
  const { roundsTo100 } = studyView({ seed: SEED, peers: 2_000, ...FAULTS, churnPermille: 10, warmRounds: 60 })
  assert.ok(roundsTo100 !== null && roundsTo100 <= 15, `${roundsTo100} rounds`)
})

test('a small study finds all dead, calls nobody alive dead, draws nobody who is gone, and plays again the same', () => {
  const ended: string[] = []
  const report = simulateMembers(SMALL, SEED, (done) => ended.push(done))
  assert.equal(shortfalls(report), [])
  const [region] = report.regions
  assert.is(region?.falsePositives, 0)
  assert.is(region?.draws.gone, 0)
  assert.is(region?.draws.differing, 0)
  assert.ok((region?.restarts.lastMs ?? Number.POSITIVE_INFINITY) < 10_000)
  const [, , view] = report.views
  assert.ok(view !== undefined && roundsAt(view, 'roundsTo100', 0.95) !== null)
  assert.is(ended.length, 1 + 2 + 2 + 1)
  assert.equal(
    simulateMembers(SMALL, SEED, () => {}),
    report,
  )
})

test('the picture has a chart for what was simulated and none for what was not', () => {
  const both = membersPlot(simulateMembers({ ...SMALL, peers: 10, views: 100 }, SEED, () => {}))
  const views = membersPlot(simulateMembers({ ...SMALL, regions: 0, views: 100 }, SEED, () => {}))
  assert.match(both, /Dead peers/)
  assert.not.match(views, /Dead peers/)
  assert.match(views, /partial views/)
  assert.ok(both.startsWith('<svg') && both.endsWith('</svg>\n'))
})

test.run()
