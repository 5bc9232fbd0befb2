import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { medoidOf, similarity } from '../../../../core/verification/medoid.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

test('similarity is 2000 for equal outputs and 0 for unrelated ones', () => {
  assert.is(similarity([1, 2, 3], [1, 2, 3]), 2000)
  assert.is(similarity([], []), 2000)
  assert.is(similarity([1, 2], [3, 4]), 0)
  assert.is(similarity([], [1]), 0)
})

test('similarity adds common prefix and common tokens, each in whole permille', () => {
  assert.is(similarity([1, 2, 3], [1, 2, 4]), 666 + 666)
  assert.is(similarity([1, 1, 1], [1]), 333 + 500)
  assert.is(similarity([2, 1], [1, 2]), 1000)
})

test('similarity does not depend on the order of its two outputs', () => {
  const random = seededRandom(testSeed())
  for (let run = 0; run < 200; run++) {
    const [a, b] = [0, 1].map(() => Array.from({ length: random.below(40) }, () => random.below(6)))
    const there = similarity(a ?? [], b ?? [])
    assert.is(similarity(b ?? [], a ?? []), there)
    assert.ok(there >= 0 && there <= 2000 && Number.isInteger(there))
  }
})

test('the output closest to all others is chosen', () => {
  assert.is(
    medoidOf(
      [
        [9, 9],
        [1, 2, 3, 4],
        [1, 2, 3, 5],
      ],
      [0, 1, 2],
    ),
    1,
  )
  assert.is(
    medoidOf(
      [
        [1, 2],
        [1, 2, 3],
        [1, 2, 3, 4],
      ],
      [0, 1, 2],
    ),
    1,
  )
})

test('ties go to the lowest index, in whatever order candidates come', () => {
  assert.is(medoidOf([[1], [2], [3]], [2, 1, 0]), 0)
  assert.is(medoidOf([[7], [1, 2], [1, 2]], [2, 1]), 1)
})

test('who is no candidate neither wins nor counts', () => {
  const outputs = [
    [1, 2],
    [5, 6],
    [5, 6],
    [1, 2, 3],
  ]
  assert.is(medoidOf(outputs, [0, 1, 3]), 0)
  assert.is(medoidOf(outputs, [1]), 1)
})

test('no candidates is a bug', () => {
  assert.throws(() => medoidOf([[1]], []), /candidates/)
})

test.run()
