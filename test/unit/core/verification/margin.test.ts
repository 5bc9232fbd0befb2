import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { chooseToken, jobSeed } from '../../../../core/verification/gumbel.ts'
import {
  EDGE_TOLERANCE_NATS,
  marginOf,
  OUTSIDE_MARGIN_NATS,
  RANK_UNLISTED,
} from '../../../../core/verification/margin.ts'
import { missing } from '../../../support/missing.ts'
import { jobNamed } from '../../../support/people.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const SEED = jobSeed(jobNamed('job'), new Uint8Array(32))

test('the token that the verifier chooses itself has margin 0', () => {
  const random = seededRandom(testSeed())
  for (let t = 0; t < 100; t++) {
    const ids = Array.from({ length: 64 }, (_, place) => place * 7)
    const logits = ids.map(() => random.below(1000) / 100)
    const claimed = chooseToken(ids, logits, 40, 0.8, SEED, t)
    const { margin, outside, rank } = marginOf(ids, logits, claimed, 40, 0.8, SEED, t)
    assert.is(margin, 0)
    assert.not(outside)
    assert.ok(rank < 40)
  }
})

test('another token has the score that it lacks, at temperature 0 the logit', () => {
  assert.equal(marginOf([1, 2, 3], [5, 4.5, 1], 2, 2, 0, SEED, 0), { margin: 0.5, rank: 1, outside: false })
})

test('another seed or position makes honest tokens lose', () => {
  const ids = Array.from({ length: 64 }, (_, place) => place)
  const logits = ids.map((place) => -place / 20)
  const other = jobSeed(jobNamed('other'), new Uint8Array(32))
  const mean = (seed: Uint8Array, shift: number) => {
    const margins = ids.map(
      (t) => marginOf(ids, logits, chooseToken(ids, logits, 40, 1, SEED, t), 40, 1, seed, t + shift).margin,
    )
    return margins.reduce((sum, margin) => sum + margin, 0) / margins.length
  }
  assert.is(mean(SEED, 0), 0)
  assert.ok(mean(other, 0) > 1)
  assert.ok(mean(SEED, 1) > 1)
})

test('just below the top-k a token is tolerated, further below it is outside', () => {
  const logits = [3, 2, 2 - EDGE_TOLERANCE_NATS, 1]
  const near = marginOf([1, 2, 3, 4], logits, 3, 2, 0, SEED, 0)
  assert.equal(near, { margin: 1 + EDGE_TOLERANCE_NATS, rank: 2, outside: false })
  assert.equal(marginOf([1, 2, 3, 4], logits, 4, 2, 0, SEED, 0), {
    margin: OUTSIDE_MARGIN_NATS,
    rank: 3,
    outside: true,
  })
})

test('a token that is not listed is outside', () => {
  assert.equal(marginOf([1, 2], [3, 2], 9, 2, 1, SEED, 0), {
    margin: OUTSIDE_MARGIN_NATS,
    rank: RANK_UNLISTED,
    outside: true,
  })
})

test('a token just above the edge of the top-k is no bound for another: the prover may not have had it', () => {
  // Third by logit, and by far the best under this position's noise.
  const best = (t: number): number => chooseToken([1, 2, 3, 4], [3, 2, 1.9, 1.8], 3, 5, SEED, t)
  const t = Array.from({ length: 100 }, (_, place) => place).find((place) => best(place) === 3) ?? missing()
  assert.is(marginOf([1, 2, 3, 4], [3, 2, 1.9, 1.9 - EDGE_TOLERANCE_NATS], 3, 3, 5, SEED, t).margin, 0)
  const near = marginOf([1, 2, 3, 4], [3, 2, 1.9, 1.8], 1, 3, 5, SEED, t)
  assert.is(near.margin, 0, 'both others are within the tolerance of the first one outside')
  const far = marginOf([1, 2, 3, 4], [3, 2, 1.9, 1], 1, 3, 5, SEED, t)
  assert.ok(far.margin > 0, 'well above the edge it counts')
  assert.ok(
    marginOf([1, 2, 3], [3, 2, 1.9], 1, 3, 5, SEED, t).margin > 0,
    'without candidates outside there is no edge',
  )
})

test('a margin is bounded', () => {
  assert.is(marginOf([1, 2], [100, 2], 2, 2, 0, SEED, 0).margin, OUTSIDE_MARGIN_NATS)
})

test.run()
