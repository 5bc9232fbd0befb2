import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fitOf, quantilesOf } from '../../../../node/simulation/statistics.ts'
import { simulated } from '../../../support/simulation.ts'

/** Bins whose statistic is the given one, with as many degrees of freedom. */
function binsOf(chiSquare: number, degrees: number) {
  const [expected, rest] = [100, new Array<number>(degrees).fill(100)]
  return [expected + Math.sqrt(chiSquare * expected), ...rest].map((seen) => ({ seen, expected }))
}

test('p-values are those of the tables of the chi-square distribution', () => {
  const table = [
    [3.841, 1, 0.05],
    [18.307, 10, 0.05],
    [76.154, 50, 0.01],
    [2.558, 10, 0.99],
    [0.004, 1, 0.9496],
  ] as const
  for (const [chiSquare, degrees, expected] of table) {
    const { pValue } = fitOf(binsOf(chiSquare, degrees))
    assert.ok(Math.abs(pValue - expected) < 0.0005, `${chiSquare} with ${degrees}: ${pValue}`)
  }
})

test('quantiles are values that occurred', () => {
  assert.equal(quantilesOf([5, 1, 4, 2, 3]), { p50: 3, p99: 5, max: 5, count: 5 })
  assert.equal(quantilesOf([]), { p50: 0, p99: 0, max: 0, count: 0 })
})

test('the draw of a simulation follows the weights, and one that did not would be seen', () => {
  const { draw, series } = simulated({ peers: 40, jobs: 300, replicas: 1, arrivalsPerSecond: 100 })
  assert.ok(draw !== null && draw.pValue > 0.001, JSON.stringify(draw))
  assert.is(
    series.draws.reduce((sum, { drawn }) => sum + drawn, 0),
    300,
  )
  const uneven = series.draws.map(({ peers, expected }) => ({ seen: (300 * peers) / 40, expected }))
  assert.ok(fitOf(uneven).pValue < 0.001, 'peers drawn without regard to their weights')
})

test('too few draws are not tested', () => assert.is(simulated({ jobs: 2 }).draw, null))

test.run()
