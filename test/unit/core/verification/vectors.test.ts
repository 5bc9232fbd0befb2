import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  agreements,
  isSameMeaning,
  vectorFault,
  vectorMedoid,
  vectorsIn,
  wordsOf,
} from '../../../../core/verification/vectors.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const seed = testSeed()
const SHAPE = { count: 2, dimensions: 4 }

function unit(values: readonly number[]): Float32Array {
  const length = Math.sqrt(values.reduce((sum, value) => sum + value * value, 0))
  return Float32Array.from(values, (value) => value / length)
}

const words = (...vectors: readonly (readonly number[])[]): Uint32Array => wordsOf(vectors.map(unit))
const A = words([1, 2, 3, 4], [4, -3, 2, -1])
/** Turns the first vector by about `angle` radians. */
const turned = (angle: number): Uint32Array => words([1 - 2 * angle, 2 + angle, 3, 4], [4, -3, 2, -1])
const scaled = (factor: number): Uint32Array =>
  wordsOf(vectorsIn(A, 2).map((vector) => vector.map((value) => value * factor)))
const withWord = (at: number, word: number): Uint32Array => A.with(at, word)

test('unit vectors, one for each text, have no fault', () => {
  assert.is(vectorFault(A, SHAPE), undefined)
  assert.is(vectorFault(words([1, 0, 0, 0], [0, 0, 0, -1]), SHAPE), undefined, 'zeros and negative zeros are numbers')
})

test('words that are no whole vectors are no shape', () => {
  for (const other of [new Uint32Array(), A.slice(1), Uint32Array.from([...A, 0]), A.slice(4)])
    assert.is(vectorFault(other, SHAPE), 'vector_shape')
  assert.is(vectorFault(A, { count: 3, dimensions: A.length / 3 }), 'vector_shape', 'a third of eight words is none')
  assert.is(vectorFault(new Uint32Array(), { count: 2, dimensions: 0 }), 'vector_shape')
})

test('what is not a number, or has no end, is not finite, whatever its bits say', () => {
  for (const word of [0x7f80_0000, 0xff80_0000, 0x7fc0_0000, 0x7f80_0001, 0xffff_ffff])
    for (const at of [0, 3, 7])
      assert.is(vectorFault(withWord(at, word), SHAPE), 'vector_not_finite', word.toString(16))
})

test('a vector that is zero, denormal, huge or of another length is not a unit', () => {
  assert.is(vectorFault(wordsOf([new Float32Array(4), new Float32Array(4)]), SHAPE), 'vector_not_unit')
  assert.is(vectorFault(new Uint32Array(8).fill(1), SHAPE), 'vector_not_unit', 'the smallest denormals')
  assert.is(vectorFault(new Uint32Array(8).fill(0x7f7f_ffff), SHAPE), 'vector_not_unit', 'the largest floats')
  for (const factor of [0, 0.5, 0.9985, 1.0015, 2, -2]) assert.is(vectorFault(scaled(factor), SHAPE), 'vector_not_unit')
  assert.is(vectorFault(scaled(1.0005), SHAPE), undefined, 'within a thousandth')
  const second = wordsOf([vectorsIn(A, 2)[0] ?? new Float32Array(), new Float32Array(4)])
  assert.is(vectorFault(second, SHAPE), 'vector_not_unit', 'every vector is measured')
})

test('vectors that point the same way mean the same, up to a cosine of 0.999', () => {
  assert.ok(isSameMeaning(A, A, SHAPE))
  assert.ok(isSameMeaning(A, scaled(1.0009), SHAPE), 'length is no meaning')
  assert.ok(isSameMeaning(A, turned(0.01), SHAPE))
  assert.not(isSameMeaning(A, turned(0.2), SHAPE))
})

test('a liar with another text, a sign, an order or one vector of its own does not agree', () => {
  const [first = new Float32Array(), second = new Float32Array()] = vectorsIn(A, 2)
  const lies: readonly (readonly [string, readonly Float32Array[]])[] = [
    ['negated', [first.map((value) => -value), second.map((value) => -value)]],
    ['one negated', [first, second.map((value) => -value)]],
    ['texts exchanged', [second, first]],
    ['words reversed', [first.toReversed(), second.toReversed()]],
    ['another text', [unit([4, 3, 2, 1]), second]],
    ['constant', [unit([1, 1, 1, 1]), unit([1, 1, 1, 1])]],
  ]
  for (const [name, vectors] of lies) assert.not(isSameMeaning(A, wordsOf(vectors), SHAPE), name)
})

test('agreement counts a replica and those that mean the same; one without vectors agrees with nobody', () => {
  assert.equal(agreements([A, turned(0.01), turned(0.5), undefined], SHAPE), [2, 2, 1, 0])
  assert.equal(agreements([undefined, undefined], SHAPE), [0, 0])
  assert.equal(agreements([turned(0.09), turned(0), turned(-0.09)], SHAPE), [2, 3, 2], 'it is not transitive')
})

test('the medoid is the one in the middle, ties go to the lower index, and one that was stopped is far from everybody', () => {
  const outputs = [turned(0.02), turned(0), turned(-0.02), turned(0.5), new Uint32Array()]
  assert.is(vectorMedoid(outputs, [0, 1, 2, 4], 2), 1)
  assert.is(vectorMedoid(outputs, [4, 2, 1, 0], 2), 1)
  assert.is(vectorMedoid(outputs, [0, 1, 2, 3], 2), 0, 'nearest to a far one too')
  assert.is(vectorMedoid(outputs, [2, 3], 2), 2)
  assert.is(vectorMedoid(outputs, [4, 3], 2), 3)
  assert.is(vectorMedoid(outputs, [4], 2), 4)
  assert.is(vectorMedoid([A, A, A], [2, 1], 2), 1)
  const numberless = new Uint32Array(8).fill(0x7fc0_0000)
  assert.is(vectorMedoid([numberless, A.slice(1), new Uint32Array(8)], [2, 1, 0], 2), 0, 'a choice, also of no vectors')
})

test('the medoid does not depend on the order in which candidates are named, however near to each other they are', () => {
  const random = seededRandom(seed)
  for (let round = 0; round < 2_000; round += 1) {
    const base = Array.from({ length: 3 }, () => random.below(1_000) / 1_000 - 0.5)
    const nearby = () => Float32Array.from(base, (value) => value + (random.below(2) - 0.5) / 100)
    const outputs = Array.from({ length: 4 }, () => wordsOf([nearby()]))
    const chosen = vectorMedoid(outputs, [0, 1, 2, 3], 1)
    const orders = [
      [3, 2, 1, 0],
      [1, 0, 3, 2],
      [2, 3, 0, 1],
    ]
    for (const order of orders) assert.is(vectorMedoid(outputs, order, 1), chosen)
  }
})

const vector = fc
  .array(fc.float({ noNaN: true, noDefaultInfinity: true, min: -1, max: 1 }), { minLength: 6, maxLength: 6 })
  .filter((values) => values.some((value) => Math.abs(value) > 0.01))
  .map(unit)
const output = fc.array(vector, { minLength: 3, maxLength: 3 })
const shape = { count: 3, dimensions: 6 }

test('words and vectors are the same bits', () => {
  fc.assert(
    fc.property(fc.array(fc.float({ noNaN: true }), { minLength: 6, maxLength: 6 }), (values) => {
      const floats = Float32Array.from(values)
      assert.equal(vectorsIn(wordsOf([floats.slice(0, 3), floats.slice(3)]), 2), [floats.slice(0, 3), floats.slice(3)])
    }),
    { seed },
  )
})

test('agreement is mutual, each agrees with itself, and every order of replicas gives the same counts', () => {
  fc.assert(
    fc.property(fc.array(output, { minLength: 1, maxLength: 5 }), (outputs) => {
      const all = outputs.map(wordsOf)
      for (const own of all) {
        assert.is(vectorFault(own, shape), undefined)
        assert.ok(isSameMeaning(own, own, shape))
        for (const other of all) assert.is(isSameMeaning(own, other, shape), isSameMeaning(other, own, shape))
      }
      assert.equal(agreements(all.toReversed(), shape), agreements(all, shape).toReversed())
    }),
    { seed },
  )
})

test('noise in the last bits changes neither agreement nor soundness', () => {
  const noise = fc.array(fc.integer({ min: -8, max: 8 }), { minLength: 18, maxLength: 18 })
  fc.assert(
    fc.property(output, noise, (vectors, steps) => {
      const own = wordsOf(vectors)
      // A step of the last bit away from zero, where it is not zero itself.
      const other = own.map((word, at) => ((word << 1) >>> 0 < 64 ? word : word + (steps[at] ?? 0)))
      assert.is(vectorFault(other, shape), undefined)
      assert.equal(agreements([own, other], shape), [2, 2])
    }),
    { seed },
  )
})

test.run()
