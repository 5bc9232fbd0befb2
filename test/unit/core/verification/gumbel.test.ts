import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { toHex } from '../../../../core/codec/bytes.ts'
import { chooseToken, gumbelNoise, jobSeed, positionHash, topPlaces } from '../../../../core/verification/gumbel.ts'
import { jobNamed } from '../../../support/people.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const SEED = jobSeed(jobNamed('job'), new Uint8Array(32).fill(7))

/** The definition, word for word, over a plain list. */
function chooseByDefinition(
  ids: readonly number[],
  logits: readonly number[],
  topK: number,
  temperature: number,
  t: number,
): number {
  const h = positionHash(SEED, t)
  const pairs = ids.map((id, place) => ({ id, logit: logits[place] ?? 0 }))
  const top = pairs.sort((a, b) => b.logit - a.logit || a.id - b.id).slice(0, topK)
  const scored = top.map(({ id, logit }) => ({ id, score: logit + temperature * gumbelNoise(h, id) }))
  return scored.sort((a, b) => b.score - a.score || a.id - b.id)[0]?.id ?? -1
}

test('noise has the mean and spread of a standard Gumbel', () => {
  let [sum, squares] = [0, 0]
  const count = 20_000
  for (let id = 0; id < count; id++) {
    const noise = gumbelNoise(positionHash(SEED, id >> 6), id)
    assert.ok(Number.isFinite(noise))
    sum += noise
    squares += noise * noise
  }
  const mean = sum / count
  assert.ok(Math.abs(mean - 0.5772) < 0.04, `mean ${mean}`)
  assert.ok(Math.abs(squares / count - mean * mean - Math.PI ** 2 / 6) < 0.08)
})

test('a position, a token and a seed each change the noise', () => {
  const h = positionHash(SEED, 0)
  assert.is.not(gumbelNoise(h, 1), gumbelNoise(h, 2))
  assert.is.not(gumbelNoise(h, 1), gumbelNoise(positionHash(SEED, 1), 1))
  assert.is.not(toHex(jobSeed(jobNamed('job'), new Uint8Array(32))), toHex(SEED))
  assert.is.not(toHex(jobSeed(jobNamed('job 2'), new Uint8Array(32).fill(7))), toHex(SEED))
})

test('the choice is the definition, for any candidates in any order', () => {
  const random = seededRandom(testSeed())
  for (let run = 0; run < 300; run++) {
    const ids = Array.from({ length: 1 + random.below(64) }, (_, place) => place * 3 + random.below(3)).sort(
      () => random.below(3) - 1,
    )
    // Few distinct logits, so that ties are common.
    const logits = ids.map(() => random.below(8) / 4)
    const [topK, temperature] = [1 + random.below(40), random.below(4) / 2]
    assert.is(
      chooseToken(ids, logits, topK, temperature, SEED, run),
      chooseByDefinition(ids, logits, topK, temperature, run),
    )
  }
})

test('the order of candidates and their container do not matter', () => {
  const ids = [5, 9, 2, 7]
  const logits = [1, 1.5, 1.25, 1.5]
  const chosen = chooseToken(ids, logits, 3, 0.8, SEED, 4)
  assert.is(chooseToken([...ids].reverse(), [...logits].reverse(), 3, 0.8, SEED, 4), chosen)
  assert.is(chooseToken(Uint32Array.from(ids), Float32Array.from(logits), 3, 0.8, SEED, 4), chosen)
})

test('at temperature 0 the highest logit wins and ties go to the lower id', () => {
  assert.is(chooseToken([8, 3, 5], [2, 2, 1], 3, 0, SEED, 0), 3)
  assert.is(chooseToken([8, 3, 5], [2, 2, 4], 1, 0, SEED, 0), 5)
})

test('the lower id stays in the top-k when logits tie at its edge', () => {
  assert.equal(topPlaces([9, 4, 1, 6], [1, 1, 3, 1], 2), [2, 1])
})

test('a logit that is not a number is never chosen, and without another candidate the caller has a bug', () => {
  assert.is(chooseToken([1, 2], [Number.NaN, -50], 2, 1, SEED, 0), 2)
  assert.is(chooseToken([1, 2], [Number.NEGATIVE_INFINITY, -50], 2, 0, SEED, 0), 2)
  assert.throws(() => chooseToken([1], [Number.NaN], 1, 1, SEED, 0), /candidate/)
  assert.throws(() => chooseToken([], [], 1, 1, SEED, 0), /candidate/)
})

test('tokens fall with the probabilities of the softmax', () => {
  const ids = [10, 20, 30]
  const logits = [Math.log(0.6), Math.log(0.3), Math.log(0.1)]
  const counts = new Map(ids.map((id) => [id, 0]))
  for (let t = 0; t < 4000; t++) {
    const id = chooseToken(ids, logits, 3, 1, SEED, t)
    counts.set(id, (counts.get(id) ?? 0) + 1)
  }
  assert.ok(Math.abs((counts.get(10) ?? 0) - 2400) < 150)
  assert.ok(Math.abs((counts.get(30) ?? 0) - 400) < 100)
})

test.run()
