import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type MarketReport, type MarketRequest, runMarket } from '../../../../node/simulation/market/market.ts'
import { missing } from '../../../support/missing.ts'
import { testSeed } from '../../../support/seeded-random.ts'

const seed = testSeed()
const REQUEST: MarketRequest = {
  ...{ jobs: 20_000, seed, perKind: 2, auditPermille: 100, lazyPermille: 50 },
  ...{ colludingPermille: 50, maliciousPermille: 25 },
}
const NONE = { lazyPermille: 0, colludingPermille: 0, maliciousPermille: 0 }
const earned = ({ kinds }: MarketReport, name: string): number => kinds.find(({ kind }) => kind === name)?.value ?? 0

test('at the defaults every cheat earns less than honest work, and honest work keeps what it is paid', () => {
  const report = runMarket(REQUEST)
  assert.ok(report.everyCheatLoses, JSON.stringify(report.kinds))
  assert.ok(earned(report, 'honest') > 0.55, `${earned(report, 'honest')}`)
  assert.ok(report.jobs.wrongPaid < report.jobs.paid / 50, JSON.stringify(report.jobs))
})

test('without audits cheating pays, and the report says so', () => {
  const report = runMarket({ ...REQUEST, auditPermille: 0 })
  assert.not(report.everyCheatLoses)
  assert.is(report.audits, 0)
  assert.ok(earned(report, 'replays') > earned(report, 'honest'))
})

test('auditors that all accuse, or all look away, are as bad as none', () => {
  const accused = runMarket({ ...REQUEST, jobs: 1_000, ...NONE, maliciousPermille: 1_000 })
  assert.ok(earned(accused, 'honest') < 0, `${earned(accused, 'honest')}`)
  const lazy = runMarket({ ...REQUEST, jobs: 3_000, ...NONE, colludingPermille: 1_000 })
  assert.not(lazy.everyCheatLoses)
})

test('auditors that guess, lie by agreement or accuse are barred and earn less than those that look, who are not', () => {
  const { auditors } = runMarket(REQUEST)
  const of = (wanted: string) => auditors.find(({ kind }) => kind === wanted) ?? missing(wanted)
  assert.is(of('honest').barredAfter, null)
  assert.ok(Math.abs(of('honest').pay - 0.15) < 0.001, `${of('honest').pay}`)
  for (const kind of ['lazy', 'colludes', 'malicious']) {
    const { barredAfter, value, pay } = of(kind)
    assert.ok(pay < 0.8 * of('honest').pay, `${kind} is paid ${pay}`)
    assert.ok(barredAfter !== null && barredAfter < 60, `${kind} after ${barredAfter}`)
    assert.ok(value < of('honest').value / 2, `${kind} ${value}`)
  }
})

test('where most auditors lie by agreement the honest ones are outvoted, and the report shows it', () => {
  const { auditors } = runMarket({ ...REQUEST, jobs: 3_000, ...NONE, colludingPermille: 700 })
  const honest = auditors.find(({ kind }) => kind === 'honest') ?? missing('honest auditors')
  assert.ok(honest.outvotedShare > 0.05, `${honest.outvotedShare}`)
})

test('the same seed is the same market', () => {
  const request = { ...REQUEST, jobs: 300 }
  assert.equal(runMarket(request), runMarket(request))
})

test.run()
