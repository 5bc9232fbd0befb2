/** Each parameter of the sampler against distributions worked out by hand. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { chancesOf, type LlamaSampling, sampleToken, uniform } from '../../../models/sampler.ts'
import { LLAMA } from '../../support/ask-backend.ts'
import { testSeed } from '../../support/seeded-random.ts'

/** Probabilities 0.5, 0.25, 0.125, 0.125 at temperature 1. */
const FOUND = { ids: [10, 11, 12, 13], logits: [8, 4, 2, 2].map(Math.log) }
const NONE = new Map<number, number>()

/** Probabilities by id, to 6 digits. */
function chances(part: Partial<LlamaSampling>, counts: ReadonlyMap<number, number> = NONE, found = FOUND) {
  const list = chancesOf(found, { ...LLAMA, ...part }, counts)
  return list.map(({ id, probability }) => [id, Math.round(probability * 1e6) / 1e6])
}

test('with everything off the probabilities are the softmax of the logits', () => {
  assert.equal(chances({}), [
    [10, 0.5],
    [11, 0.25],
    [12, 0.125],
    [13, 0.125],
  ])
})

test('temperature divides the logits, and at 0 the best is sure', () => {
  assert.equal(chances({ temperature: 0.5 }), [
    [10, 0.727273],
    [11, 0.181818],
    [12, 0.045455],
    [13, 0.045455],
  ])
  assert.equal(chances({ temperature: 0 }), [[10, 1]])
  assert.equal(chances({ temperature: Number.MIN_VALUE }), [
    [10, 1],
    [11, 0],
    [12, 0],
    [13, 0],
  ])
})

test('top-k keeps the best, ties by lower id', () => {
  assert.equal(chances({ topK: 3 }), [
    [10, 0.571429],
    [11, 0.285714],
    [12, 0.142857],
  ])
  assert.equal(chances({ topK: 1 }), [[10, 1]])
  assert.is(chances({ topK: 100 }).length, 4)
})

test('top-p keeps the shortest list that holds it, of the probabilities at the temperature', () => {
  const two = [
    [10, 0.666667],
    [11, 0.333333],
  ]
  assert.equal(chances({ topP: 0.75 }), two)
  assert.equal(chances({ topP: 0.51 }), two)
  assert.equal(chances({ topP: 0.5 }), [[10, 1]])
  assert.equal(chances({ topP: 0 }), [[10, 1]])
  assert.equal(chances({ topP: 0.7, temperature: 0.5 }), [[10, 1]])
  assert.is(chances({ topP: 0.76 }).length, 3)
})

test('min-p drops what is less likely than its share of the best', () => {
  assert.is(chances({ minP: 0.25 }).length, 4)
  assert.is(chances({ minP: 0.26 }).length, 2)
  assert.is(chances({ minP: 1 }).length, 1)
})

test('the frequency penalty grows with each time, the presence penalty comes once, and negative ones attract', () => {
  const counts = new Map([
    [10, 3],
    [99, 5],
  ])
  const ln2 = Math.log(2)
  const level = [0.2, 0.4, 0.2, 0.2]
  // Which of equals comes first hangs on the last bit of a logarithm.
  const byId = (part: Partial<LlamaSampling>) =>
    chances(part, counts)
      .sort(([a = 0], [b = 0]) => a - b)
      .map(([, probability]) => probability)
  assert.equal(byId({ frequencyPenalty: (2 * ln2) / 3 }), level)
  assert.equal(byId({ presencePenalty: 2 * ln2 }), level)
  assert.equal(byId({ presencePenalty: ln2, frequencyPenalty: ln2 / 3 }), level)
  assert.equal(chances({ presencePenalty: -2 * ln2 }, new Map([[13, 1]])).slice(2), [
    [11, 0.181818],
    [12, 0.090909],
  ])
})

test('penalties come before the temperature and before top-k', () => {
  const counts = new Map([[10, 1]])
  const halved = { presencePenalty: Math.log(4), temperature: 0.5 }
  assert.equal(chances(halved, counts).at(0), [11, 0.571429])
  assert.equal(chances({ ...halved, temperature: 0 }, counts), [[11, 1]])
  assert.equal(chances({ ...halved, topK: 1 }, counts), [[11, 1]])
})

test('a logit that is no number is never drawn', () => {
  assert.equal(chances({}, NONE, { ids: [1, 2, 3], logits: [Number.NaN, 0, Number.NEGATIVE_INFINITY] }), [
    [2, 1],
    [3, 0],
  ])
})

test('a draw depends on seed and position alone', () => {
  const draws = (seed: number) =>
    Array.from({ length: 50 }, (_, position) => sampleToken(FOUND, { ...LLAMA, seed }, NONE, position))
  assert.equal(draws(7), draws(7))
  assert.not.equal(draws(7), draws(8))
  assert.ok(new Set(draws(7)).size > 1)
  const all = Array.from({ length: 1_000 }, (_, position) => uniform(0xffff_ffff, position))
  assert.ok(all.every((value) => value >= 0 && value < 1))
  assert.is(new Set(all).size, all.length)
})

/** Pearson's sum over all ids; with 3 degrees of freedom it is above 27.9 once in 260,000 honest runs. */
function chiSquare(sampling: LlamaSampling, counts: ReadonlyMap<number, number>, draws: number): number {
  const drawn = new Map<number, number>()
  for (let position = 0; position < draws; position++) {
    const id = sampleToken(FOUND, sampling, counts, position)
    drawn.set(id, (drawn.get(id) ?? 0) + 1)
  }
  const expected = chancesOf(FOUND, sampling, counts)
  assert.ok([...drawn.keys()].every((id) => expected.some((chance) => chance.id === id)))
  return expected.reduce(
    (sum, { id, probability }) => sum + ((drawn.get(id) ?? 0) - draws * probability) ** 2 / (draws * probability),
    0,
  )
}

test('many draws are spread as the probabilities say, whatever is set', () => {
  const seed = testSeed() >>> 0
  const counts = new Map([
    [10, 2],
    [12, 1],
  ])
  for (const part of [
    {},
    { temperature: 1.7 },
    { topP: 0.8 },
    { topK: 2 },
    { frequencyPenalty: 0.4, presencePenalty: -1 },
  ])
    assert.ok(chiSquare({ ...LLAMA, ...part, seed }, counts, 20_000) < 27.9, JSON.stringify({ part, seed }))
})

test.run()
