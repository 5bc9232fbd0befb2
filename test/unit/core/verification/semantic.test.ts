import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  chooseAmong,
  clustersOf,
  compareForms,
  pairCount,
  similaritiesOf,
} from '../../../../core/verification/semantic.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

/** A matrix from its upper triangle. */
const matrix = (count: number, cosines: readonly number[]) =>
  similaritiesOf(
    Array.from({ length: count }, (_, place) => 'abcdefgh'.charAt(place)),
    cosines,
  )

test('JSON is equal by value, whatever the order of keys and the white space', () => {
  assert.is(compareForms('{"a":1,"b":[1,2]}', '{ "b": [1, 2], "a": 1.0 }'), 'same')
  assert.is(compareForms('```json\n{"a":1}\n```', '{"a":1}'), 'same')
  assert.is(compareForms('{"a":1}', '{"a":2}'), 'different')
  assert.is(compareForms('[1,2]', '[2,1]'), 'different')
  assert.is(compareForms('{"a":1}', 'the value of a is 1'), 'different')
})

test('JSON nested too deep is no JSON, and breaks nothing', () => {
  const deep = `${'['.repeat(100)}${']'.repeat(100)}`
  assert.is(compareForms(deep, deep), 'same')
  assert.is(compareForms(deep, `${deep} `), 'same')
  assert.is(compareForms(deep, deep.replace(']', '1]')), 'different')
})

test('a changed digit is a difference that no cosine can undo', () => {
  assert.is(compareForms('It costs 15 euros.', 'It costs 16 euros.'), 'different')
  assert.is(compareForms('It costs 1,500 euros.', 'The price: 1500 euros.'), 'open')
  assert.is(compareForms('call x2', 'call x3'), 'open')
  assert.is(compareForms('-3 degrees', '3 degrees'), 'different')
})

test('code differs when its fences do; its language and trailing blanks say nothing', () => {
  assert.is(compareForms('So:\n```js\nf(a)  \n```', 'Thus:\n```ts\nf(a)\n```'), 'open')
  assert.is(compareForms('So:\n```js\nf(a)\n```', 'So:\n```js\nf(b)\n```'), 'different')
})

test('white space alone makes no other answer', () => {
  assert.is(compareForms(' Yes,  it is.\n', 'Yes, it is.'), 'same')
})

test('a chain of small steps does not join its ends', () => {
  const similar = matrix(3, [850, 400, 850])
  assert.equal(clustersOf(similar, 3, [0, 1, 2]), [[0, 1], [2]])
})

test('the largest group wins, and its middle answers for it', () => {
  // 1, 2 and 3 are alike and 2 is nearest to both others; 0 is alone.
  const similar = matrix(4, [100, 100, 100, 950, 810, 960])
  assert.equal(clustersOf(similar, 4, [0, 1, 2, 3]), [[0], [1, 2, 3]])
  assert.is(chooseAmong(similar, [64, 8, 8, 8], [0, 1, 2, 3]), 2)
})

test('where no two are alike nothing is chosen here; of one that may be there is no choice', () => {
  const similar = matrix(3, [0, 0, 0])
  assert.is(chooseAmong(similar, [1, 1, 1], [2, 1]), undefined)
  assert.is(chooseAmong(similar, [1, 1, 1], [2]), 2)
})

test('a heavy worker draws the middle to itself by no more than twice the usual weight', () => {
  const similar = matrix(3, [900, 950, 940])
  const even = chooseAmong(similar, [1, 1, 1], [0, 1, 2])
  assert.is(even, 2)
  assert.is(chooseAmong(similar, [1, 2, 1], [0, 1, 2]), chooseAmong(similar, [1, 1_000_000, 1], [0, 1, 2]))
})

test('two that agree are chosen before a third that is nearly alike, unless it weighs more than both', () => {
  const random = seededRandom(testSeed())
  assert.is(chooseAmong(matrix(3, [950, 950, 1_000]), [1, 2, 2], [0, 1, 2]), 1)
  for (let round = 0; round < 300; round += 1) {
    const near = 800 + random.below(200)
    const [one, other] = [1 + random.below(64), 1 + random.below(64)]
    const alone = 1 + random.below(one + other)
    const place = chooseAmong(matrix(3, [near, near, 1_000]), [alone, one, other], [0, 1, 2])
    // At exactly both their weights it is a tie, which goes to the lowest.
    assert.ok(place === 1 || alone === one + other, `${near} ${alone} ${one} ${other}`)
  }
})

test('groups part the answers, and every two of a group are alike', () => {
  const random = seededRandom(testSeed())
  for (let round = 0; round < 300; round += 1) {
    const count = 1 + random.below(5)
    const similar = matrix(
      count,
      Array.from({ length: pairCount(count) }, () => random.below(1_001)),
    )
    const places = Array.from({ length: count }, (_, place) => place)
    const groups = clustersOf(similar, count, places)
    assert.equal(groups.flat().sort(), places)
    for (const group of groups)
      for (const i of group) for (const j of group) assert.ok(i === j || (similar[i * count + j] ?? 0) >= 800)
  }
})

test.run()
