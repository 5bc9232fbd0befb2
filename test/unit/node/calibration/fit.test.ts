import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { statisticsOf } from '../../../../core/verification/audit.ts'
import { TABLE_LENGTHS } from '../../../../core/verification/policy-table.ts'
import { bootstrapMeans, fitThresholds, tailQuantile, upperQuantile } from '../../../../node/calibration/fit.ts'
import { scoresOf } from '../../../../node/calibration/power.ts'
import { Prng } from '../../../../node/simulation/prng.ts'

const SEED = 4_711

/** Outputs whose positions are mostly 0 and now and then lose a little. */
function outputs(prng: Prng, count: number, length: number, sizeMax: number): Float32Array[] {
  return Array.from({ length: count }, () =>
    Float32Array.from({ length }, () => (prng.chance(50) ? (prng.below(1_000) / 1_000) * sizeMax : 0)),
  )
}

test('means of constant margins are that constant, clipped', () => {
  const options = { draws: 50, prng: new Prng(SEED) }
  assert.equal([...new Set(bootstrapMeans([new Float32Array(7).fill(0.5)], 64, options))], [0.5])
  assert.equal([...new Set(bootstrapMeans([new Float32Array(7).fill(8)], 64, options))], [3])
})

test(`drawn means lie around the mean of all, closer for longer outputs (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  const all = outputs(prng, 40, 90, 0.2)
  const mean = all.flatMap((margins) => [...margins]).reduce((sum, margin) => sum + margin, 0) / (40 * 90)
  const spreads = TABLE_LENGTHS.map((length) => {
    const means = bootstrapMeans(all, length, { draws: 4_000, prng })
    assert.ok(
      means.every((value, place) => place === 0 || value >= (means[place - 1] ?? 0)),
      'lowest first',
    )
    const middle = means.reduce((sum, value) => sum + value, 0) / means.length
    assert.ok(Math.abs(middle - mean) < mean * 0.1, `${middle} is about ${mean}`)
    return upperQuantile(means, 1e-3) - mean
  })
  assert.ok(
    spreads.every((spread, place) => place === 0 || spread < (spreads[place - 1] ?? 0)),
    `${spreads}`,
  )
})

test('a stretch of an output is drawn whole: margins that come together stay together', () => {
  // One output in ten loses at all its positions, the others nowhere: so do stretches that fit into one output.
  const [hard, ...easy] = Array.from({ length: 10 }, (_, place) => new Float32Array(64).fill(place === 0 ? 0.1 : 0))
  assert.ok(hard !== undefined)
  const means = bootstrapMeans([hard, ...easy], 64, { draws: 2_000, prng: new Prng(SEED) })
  assert.equal(
    [...new Set(means)].map((mean) => Number(mean.toFixed(6))),
    [0, 0.1],
  )
})

test('an upper quantile is the value that the share lies above', () => {
  const values = Float64Array.from({ length: 10_000 }, (_, place) => place)
  assert.is(upperQuantile(values, 1e-3), 9_989)
  assert.is(upperQuantile(values, 1e-4), 9_998)
  assert.is(upperQuantile([5], 1e-4), 5)
})

test(`thresholds: fail is never below suspect, tau3 is one and a half times the worst, at least half a nat (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  for (const worst of [0.1, 0.4, 2]) {
    const all = outputs(prng, 30, 100, worst)
    all[0]?.set([worst], 3)
    const honest = { margins: all, outputs: all.length, worstNats: 0 }
    const fitted = fitThresholds(honest, { draws: 20_000, prng })
    assert.is(fitted.worstMicro, Math.ceil(Math.max(0.5, 1.5 * Math.fround(worst)) * 1e6))
    assert.equal([fitted.honestAudits, fitted.honestTokens], [30, 3_000])
    for (const [place, length] of TABLE_LENGTHS.entries()) {
      const [suspect = 0, fail = 0] = [fitted.suspectMicro[place], fitted.failMicro[place]]
      assert.ok(fail >= suspect)
      assert.ok(suspect >= (worst * 1e6) / length - 1, 'one worst margin alone makes nobody suspect')
    }
  }
})

test('outputs that never differ still leave room: no margin, no threshold below what one near tie costs', () => {
  const alone = { margins: [new Float32Array(100)], outputs: 1, worstNats: 0 }
  const none = fitThresholds(alone, { draws: 100, prng: new Prng(SEED) })
  assert.equal(none.suspectMicro, [0, 0, 0, 0])
  assert.is(none.worstMicro, 500_000)
  const other = fitThresholds({ ...alone, worstNats: 2 }, { draws: 100, prng: new Prng(SEED) })
  assert.is(other.worstMicro, 3_000_000, 'engines that were that far apart at another temperature may be here too')
})

test(`the tail goes on beyond what was seen, further where there are few outputs (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  const values = Float64Array.from({ length: 100_000 }, () => -Math.log((prng.next() + 1) / 2 ** 32)).sort()
  const wanted = Math.log(1e4)
  const [many, few] = [tailQuantile(values, 1e-4, 1e9), tailQuantile(values, 1e-4, 100)]
  assert.ok(Math.abs(many / wanted - 1) < 0.05, `${many} for ${wanted}`)
  // Ten outputs in the tail: their mean excess may be half as large again.
  assert.ok(few > 1.3 * wanted && few < 1.6 * wanted, `${few} for ${wanted}`)
  assert.is(tailQuantile([0], 1e-4, 1), 0)
})

test(`scores are those of an auditor's report (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  for (let run = 0; run < 200; run += 1) {
    const margins = Float32Array.from({ length: prng.below(300) }, () =>
      prng.chance(100) ? prng.below(8_001) / 1_000 : 0,
    )
    const positions = Array.from(margins, (margin) => ({ margin, rank: 0, topIds: [1, 2], topLogits: [3, 2] }))
    const { positions: count, meanMicro, worstMicro, outsideCount } = statisticsOf(positions, [])
    assert.equal(scoresOf(margins), { positions: count, meanMicro, worstMicro, outsideCount })
  }
})

test.run()
