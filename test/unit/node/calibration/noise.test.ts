import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { divergence, gaussian, noiseScaleFor, noisyMargins, type Recorded } from '../../../../node/calibration/noise.ts'
import { Prng } from '../../../../node/simulation/prng.ts'

const SEED = 815
const SAMPLING = { kind: 'gumbel-v1', temperatureMilli: 700, topK: 40 } as const

function recorded(prng: Prng, positions: number): Recorded[] {
  return Array.from({ length: positions }, () => {
    const logits = Float32Array.from({ length: 64 }, () => prng.below(12_000) / 1_000)
      .sort()
      .reverse()
    return { ids: Uint32Array.from({ length: 64 }, (_, place) => place * 3), logits }
  })
}

test('divergence: nothing from itself or a shift, and the figure of two coins', () => {
  assert.ok(Math.abs(divergence([1, 2, 3], [1, 2, 3])) < 1e-12)
  assert.ok(Math.abs(divergence([1, 2, 3], [11, 12, 13])) < 1e-12)
  // 1/2, 1/2 against 1/4, 3/4: ln 2 / 2 + ln(2/3) / 2.
  const coins = divergence([0, 0], [Math.log(1 / 4), Math.log(3 / 4)])
  assert.ok(Math.abs(coins - (Math.log(2) + Math.log(2 / 3)) / 2) < 1e-12)
})

test(`noise that was solved for a divergence has it, measured with other noise (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  const clean = recorded(prng, 1_500)
  let before = 0
  for (const target of [0.0014, 0.0055, 0.03]) {
    const scale = noiseScaleFor(clean, target, prng)
    assert.ok(scale > before, 'more divergence needs more noise')
    before = scale
    const found =
      clean.reduce((sum, { logits }) => {
        const moved = Float64Array.from(logits, (logit) => logit + scale * gaussian(prng))
        return sum + divergence(logits, moved)
      }, 0) / clean.length
    assert.ok(Math.abs(found - target) < target * 0.1, `${found} is about ${target}`)
  }
})

test(`without noise no margin, with more noise more of it (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  const clean = recorded(prng, 800)
  const claim = { sampling: SAMPLING, seed: prng.bytes(32) }
  const mean = (scale: number): number =>
    noisyMargins(clean, claim, scale, prng).reduce((sum, margin) => sum + margin, 0) / clean.length
  assert.is(mean(0), 0)
  const [little, much] = [mean(0.05), mean(0.5)]
  assert.ok(little > 0 && much > little * 2, `${little} and ${much}`)
})

test(`Gaussian draws have the mean and spread of one (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  const draws = Array.from({ length: 40_000 }, () => gaussian(prng))
  const mean = draws.reduce((sum, draw) => sum + draw, 0) / draws.length
  const spread = draws.reduce((sum, draw) => sum + (draw - mean) ** 2, 0) / draws.length
  assert.ok(Math.abs(mean) < 0.02 && Math.abs(spread - 1) < 0.03, `${mean}, ${spread}`)
})

test.run()
