import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Probe } from '../../../../core/verification/audit.ts'
import type { Verdict } from '../../../../core/verification/finding.ts'
import { classVerdict, panelOf, reportsMissing, type Said } from '../../../../core/verification/panel.ts'
import { digestNamed } from '../../../support/people.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const probes = (gap256: number): readonly Probe[] => [{ position: 3, topId: 1, gap256, claimedGap256: 0 }]
type One = readonly [Verdict, number?]
/** By auditors a, b and c, of whom each knew what the others were bound to. */
const said = (...all: readonly One[]): readonly Said[] =>
  all.map(([verdict, gap256 = 100], place) => ({
    ...{ verdict, probes: probes(gap256), commit: digestNamed(`commit ${place}`) },
    others: all.flatMap((_, other) => (other === place ? [] : [digestNamed(`commit ${other}`)])),
  }))
const verdict = (...all: readonly One[]) => panelOf(said(...all), false).verdict
const LAZY = 2_000

test('one report is enough when it has no doubts and there is no panel; doubts and other logits ask for three', () => {
  assert.is(reportsMissing([], false), 1)
  assert.is(reportsMissing([], true), 3)
  assert.is(reportsMissing(said(['abstain']), false), 1)
  assert.is(reportsMissing(said(['pass']), false), 0)
  assert.is(reportsMissing(said(['pass']), true), 2)
  assert.is(reportsMissing(said(['suspect']), false), 2)
  assert.is(reportsMissing(said(['pass'], ['pass']), false), 0)
  assert.is(reportsMissing(said(['pass'], ['pass', LAZY]), false), 1)
  assert.is(reportsMissing(said(['fail'], ['abstain'], ['fail'], ['pass']), false), 0)
})

test('two doubts make a verdict, one is outvoted, and one alone is only a suspicion', () => {
  assert.is(classVerdict([]), 'none')
  assert.is(classVerdict(['abstain', 'inconclusive']), 'none')
  assert.is(classVerdict(['pass']), 'pass')
  assert.is(classVerdict(['fail']), 'suspect')
  assert.is(classVerdict(['fail', 'pass']), 'suspect')
  assert.is(classVerdict(['fail', 'pass', 'pass']), 'pass')
  assert.is(classVerdict(['fail', 'suspect', 'pass']), 'fail')
  assert.is(classVerdict(['suspect', 'suspect', 'pass']), 'suspect')
  assert.is(classVerdict(['fail', 'fail']), 'fail')
})

test('reports that saw the same logits are joined by their verdicts', () => {
  assert.is(verdict(), 'none')
  assert.is(verdict(['abstain'], ['abstain']), 'none')
  assert.is(verdict(['pass']), 'pass')
  assert.is(verdict(['fail']), 'suspect')
  assert.is(verdict(['fail'], ['pass'], ['pass']), 'pass')
  assert.is(verdict(['fail', 130], ['pass', 100], ['fail', 70]), 'fail')
  assert.is(verdict(['abstain', LAZY], ['pass']), 'pass')
})

test('what nobody else saw is not counted, and never passes an output by itself', () => {
  assert.is(verdict(['pass', LAZY], ['pass']), 'none')
  assert.is(verdict(['pass', LAZY], ['pass', 3_000], ['pass']), 'none')
  assert.is(verdict(['pass', LAZY], ['fail']), 'suspect')
  assert.is(verdict(['pass', LAZY], ['fail'], ['fail']), 'fail')
  assert.is(verdict(['fail', LAZY], ['pass'], ['pass']), 'pass')
})

test('outvoted is who saw other logits than two others, or passed what two failed; a doubt near a threshold is not', () => {
  const outvoted = (...all: readonly One[]) => panelOf(said(...all), false).outvoted
  assert.equal(outvoted(['pass', LAZY], ['pass'], ['pass']), [0])
  assert.equal(outvoted(['pass'], ['fail'], ['fail']), [0])
  assert.equal(outvoted(['pass'], ['pass'], ['fail']), [2])
  assert.equal(outvoted(['pass'], ['pass'], ['suspect']), [])
  assert.equal(outvoted(['suspect'], ['fail'], ['fail']), [])
  assert.equal(outvoted(['pass', LAZY], ['pass']), [])
  assert.equal(outvoted(['pass', LAZY], ['pass', 3_000], ['pass']), [])
  assert.equal(outvoted(['pass'], ['suspect'], ['fail']), [])
})

test('reports that nobody had a reason to ask for are named by none: the best ranked one makes the verdict', () => {
  const all = said(['pass'], ['pass'], ['pass'])
  assert.equal(panelOf(all, false), { verdict: 'pass', counted: [0], outvoted: [] })
  assert.equal(panelOf(all, true).counted, [0, 1, 2])
  assert.equal(panelOf(said(['pass'], ['suspect'], ['pass']), false).counted, [0, 1, 2])
})

test('of a panel reports count that were bound before either was shown; one alone may doubt, not pass', () => {
  const both = said(['pass'], ['pass'])
  assert.is(panelOf(both, true).verdict, 'pass')
  const told = both.map((one, place) => (place === 0 ? { ...one, others: [] } : one))
  assert.equal(panelOf(told, true), { verdict: 'none', counted: [], outvoted: [] })
  assert.is(panelOf(told, false).verdict, 'pass')
  assert.is(panelOf(said(['pass']), true).verdict, 'none')
  assert.is(panelOf(said(['fail']), true).verdict, 'suspect')
})

test('whatever three say, a pass rests on a report that stands, and nobody is outvoted by fewer than two', () => {
  const random = seededRandom(testSeed())
  const verdicts: readonly Verdict[] = ['pass', 'suspect', 'fail', 'abstain']
  for (let round = 0; round < 2_000; round += 1) {
    const all = Array.from(
      { length: 1 + random.below(3) },
      () => [verdicts[random.below(4)] ?? 'pass', 60 * random.below(6)] as const,
    )
    const isPanel = random.below(2) === 1
    const reports = said(...all)
    const { verdict: found, counted, outvoted } = panelOf(reports, isPanel)
    const speaking = reports.filter((report) => report.verdict !== 'abstain')
    if (found === 'pass') assert.ok(counted.some((place) => reports[place]?.verdict === 'pass'))
    const isDoubted = speaking.some((report) => report.verdict !== 'pass')
    if (found === 'pass' && isDoubted) assert.ok(counted.length > 1)
    if (isDoubted) assert.is.not(found, 'none')
    if (outvoted.length > 0) assert.ok(speaking.length === 3 && outvoted.length === 1, JSON.stringify(all))
  }
})

test.run()
