import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { marginRoot } from '../../../../core/verification/audit.ts'
import {
  type BisectAnswer,
  type BisectQuestion,
  type BisectResult,
  bisect,
  bisectAnswerer,
} from '../../../../core/verification/bisect.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

type Answerer = (question: BisectQuestion) => BisectAnswer | undefined
const NOTHING: BisectAnswer = { nodes: [], margins: [] }

function run(
  [one, other]: readonly [readonly number[], readonly number[]],
  tolerance = 0,
  answerers: readonly [Answerer, Answerer] = [bisectAnswerer(one), bisectAnswerer(other)],
): { readonly result: BisectResult; readonly questions: number } {
  const steps = bisect(marginRoot(one), marginRoot(other), one.length, tolerance)
  let questions = 0
  for (let next = steps.next(); ; questions += 1) {
    if (next.done === true) return { result: next.value, questions }
    const question = next.value
    next = steps.next([answerers[0](question) ?? NOTHING, answerers[1](question) ?? NOTHING])
  }
}

function margins(count: number, random: ReturnType<typeof seededRandom>): number[] {
  return Array.from({ length: count }, () => (random.below(10) === 0 ? random.below(2_048) / 256 : 0))
}

test('the first position that differs is found in as many questions as the tree is high, and one more', () => {
  const random = seededRandom(testSeed())
  for (let round = 0; round < 200; round += 1) {
    const one = margins(1 + random.below(3_000), random)
    const at = random.below(one.length)
    const other = one.map((margin, place) => (place < at ? margin : place === at ? margin + 1 : random.below(5)))
    const { result, questions } = run([one, other])
    const [mine, theirs] = [one[at] ?? 0, (one[at] ?? 0) + 1]
    assert.equal(result, { found: 'position', position: at, one: mine * 256, other: theirs * 256 })
    const leaves = Math.ceil(one.length / 32)
    assert.ok(questions <= Math.ceil(Math.log2(leaves)) + 1, `${questions} questions about ${leaves} leaves`)
  }
})

test('equal margins need no question, and none at all is no difference', () => {
  assert.equal(
    run([
      [1, 2, 3],
      [1, 2, 3],
    ]),
    { result: { found: 'nothing' }, questions: 0 },
  )
  assert.equal(run([[], []]), { result: { found: 'nothing' }, questions: 0 })
})

test('noise within the tolerance is passed over', () => {
  const one = Array.from({ length: 400 }, () => 0)
  const other = one.map((_, place) => (place === 300 ? 1 : place % 50 === 0 ? 2 / 256 : 0))
  assert.equal(run([one, other], 2).result, { found: 'position', position: 300, one: 0, other: 256 })
  assert.equal(run([one, other], 256).result, { found: 'nothing' })
})

test('noise everywhere ends after a bounded number of questions', () => {
  const one = Array.from({ length: 20_000 }, () => 0)
  const { result, questions } = run([one, one.map(() => 1 / 256)], 1)
  assert.equal(result, { found: 'too_many' })
  assert.is(questions, 256)
})

test('a side that answers other than what it signed is named', () => {
  const random = seededRandom(testSeed())
  for (let round = 0; round < 100; round += 1) {
    const one = margins(200 + random.below(800), random)
    const other = one.map((margin, place) => (place === 150 ? margin + 1 : margin))
    const forged = bisectAnswerer(
      one.map((margin, place) => (place === random.below(one.length) ? margin + 2 : margin)),
    )
    const honest = bisectAnswerer(one)
    // It says `other` was its root, and then answers with what it claims for something else.
    assert.equal(run([one, other], 0, [honest, honest]).result, { found: 'lie', side: 'other' })
    const result = run([one, other], 0, [forged, bisectAnswerer(other)]).result
    assert.ok(result.found === 'position' || (result.found === 'lie' && result.side === 'one'))
  }
})

test('no answer, short answers and long nodes are lies', () => {
  const one = Array.from({ length: 100 }, () => 0)
  const other = one.map((_, place) => (place === 99 ? 1 : 0))
  const honest = bisectAnswerer(other)
  const odd: readonly Answerer[] = [
    () => undefined,
    (question) => ({ ...(honest(question) ?? NOTHING), nodes: [new Uint8Array(64)] }),
    (question) => ({ nodes: (honest(question) ?? NOTHING).nodes.slice(0, 1), margins: [] }),
  ]
  for (const answer of odd)
    assert.equal(run([one, other], 0, [bisectAnswerer(one), answer]).result, { found: 'lie', side: 'other' })
})

test('questions about nodes that are not there get no answer', () => {
  const answer = bisectAnswerer([1, 2, 3])
  for (const question of [
    { ask: 'nodes', level: 0, index: 0 },
    { ask: 'nodes', level: 3, index: 0 },
    { ask: 'margins', level: 0, index: 1 },
    { ask: 'margins', level: 0, index: -1 },
  ] as const)
    assert.is(answer(question), undefined)
})

test.run()
