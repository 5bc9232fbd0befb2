import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { DEFAULT_PRICES, pricesInBounds, quote, replicaPrice } from '../../../../core/ledger/pricing.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { testSeed } from '../../../support/seeded-random.ts'

const size = { megaParams: 3, promptTokens: 16, outputTokens: 256, factorPermille: 1_000 }

test('a replica of the bundled model costs its job price and its tokens', () => {
  // 5,000 + 272 * (50 + 0.3) = 18,681.6 micro-credits, rounded up.
  assert.is(replicaPrice(DEFAULT_PRICES, size), 18_682n)
})

const PLAIN = { task: 'chat', sampling: { kind: 'plain' } }
const GUMBEL = { task: 'chat', sampling: { kind: 'gumbel-v1' } }

test('a quote is base, bonus and fee of every replica, and three reports about each where it can be replayed', () => {
  const job = { modelMegaParams: 3, promptTokens: 16, maxTokens: 256, replicas: 3, speedTarget: 0, ...PLAIN }
  const plain = { base: 56_046n, bonus: 11_208n, speed: 0n, audits: 0n, fee: 3_362n, hold: 70_616n }
  assert.equal(quote(DEFAULT_PRICES, job), plain)
  assert.equal(quote(DEFAULT_PRICES, { ...job, ...GUMBEL, task: 'embedding' }), plain)
  const fast = { ...plain, speed: 11_208n, fee: 3_923n, hold: 82_385n }
  assert.equal(quote(DEFAULT_PRICES, { ...job, speedTarget: 20 }), fast)
  // Nine times floor(18,682 * 0.15), no fee on it.
  assert.equal(quote(DEFAULT_PRICES, { ...job, ...GUMBEL }), { ...plain, audits: 25_218n, hold: 95_834n })
})

test('a dearer provider raises the quote in proportion', () => {
  assert.is(replicaPrice({ ...DEFAULT_PRICES, jobMicro: 0n }, { ...size, factorPermille: 2_000 }), 27_364n)
})

test('a longer output, a longer prompt, a larger model or more replicas never cost less', () => {
  const count = fc.integer({ min: 1, max: 131_072 })
  const job = fc.record({
    modelMegaParams: count,
    promptTokens: count,
    maxTokens: count,
    replicas: fc.integer({ min: 1, max: 5 }),
    speedTarget: fc.constantFrom(0, 20),
    task: fc.constant('chat'),
    sampling: fc.constantFrom(PLAIN.sampling, GUMBEL.sampling),
  })
  const bounded = fc.property(job, job, (one, other) => {
    const larger = {
      modelMegaParams: Math.max(one.modelMegaParams, other.modelMegaParams),
      promptTokens: Math.max(one.promptTokens, other.promptTokens),
      maxTokens: Math.max(one.maxTokens, other.maxTokens),
      replicas: Math.max(one.replicas, other.replicas),
      speedTarget: Math.max(one.speedTarget, other.speedTarget),
      ...GUMBEL,
    }
    return quote(DEFAULT_PRICES, larger).hold >= quote(DEFAULT_PRICES, one).hold
  })
  fc.assert(bounded, { seed: testSeed() })
})

test('prices outside their bounds are told apart', () => {
  assert.ok(pricesInBounds(DEFAULT_PRICES))
  const wrong = [
    { jobMicro: -1n },
    { tokenMicro: LIMITS.amountMicroMax + 1n },
    { feePermille: 10_001 },
    { reportPermille: 10_001 },
    { vestMs: -1n },
  ]
  for (const parts of wrong) assert.not(pricesInBounds({ ...DEFAULT_PRICES, ...parts }))
})

test.run()
