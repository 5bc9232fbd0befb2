import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  ALARM_MICRO,
  addEvidence,
  addMargin,
  binOf,
  CHEAT_SHARES,
  evidenceOf,
  HONEST_SHARES,
  MARGIN_EDGES_NATS,
  NO_EVIDENCE,
} from '../../../../core/verification/cusum.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const HONEST_TOKENS = 10_000_000
/** One in a million is promised. */
const ALARMS_MAX = 20
const TWO_POW_32 = 2 ** 32
/** One margin of each bin. */
const MARGINS = [0, ...MARGIN_EDGES_NATS]

/** Draws margins whose bins have these shares. */
function drawer(shares: readonly number[], seed: number): () => number {
  const random = seededRandom(seed)
  const ends = shares.map((_, bin) => shares.slice(0, bin + 1).reduce((sum, share) => sum + share, 0) * TWO_POW_32)
  return () => {
    const lot = random.below(TWO_POW_32)
    return MARGINS[ends.findIndex((end) => lot < end)] ?? 0
  }
}

test('both shares are whole, and larger margins speak against a worker more than none', () => {
  for (const shares of [HONEST_SHARES, CHEAT_SHARES])
    assert.ok(Math.abs(shares.reduce((sum, share) => sum + share, 0) - 1) < 1e-9)
  const steps = MARGINS.slice(1).map((margin) => addMargin(NO_EVIDENCE, margin).sumMicro)
  assert.ok(steps.every((step) => step > 0))
  assert.is(addMargin(NO_EVIDENCE, 0).sumMicro, 0, 'a sum does not fall below nothing')
  assert.is(addMargin({ sumMicro: 1_000_000, alarms: 0 }, 0).sumMicro < 1_000_000, true)
})

test('a margin at the end of a bin is in the next', () => {
  assert.equal([0, 0.029, 0.03, 0.1, 0.3, 0.99, 1, 3, 8].map(binOf), [0, 0, 1, 2, 3, 3, 4, 5, 5])
})

test(`${HONEST_TOKENS} honest tokens raise at most ${ALARMS_MAX} alarms`, () => {
  const draw = drawer(HONEST_SHARES, testSeed())
  let cusum = NO_EVIDENCE
  for (let token = 0; token < HONEST_TOKENS; token += 1) cusum = addMargin(cusum, draw())
  console.log(`${cusum.alarms} alarms in ${HONEST_TOKENS} honest tokens`)
  assert.ok(cusum.alarms <= ALARMS_MAX, `${cusum.alarms} alarms`)
})

test('a cheat is found soon, also after a long honest time, and an alarm begins a new sum', () => {
  const seed = testSeed()
  const [honest, cheat] = [drawer(HONEST_SHARES, seed), drawer(CHEAT_SHARES, seed + 1)]
  let cusum = NO_EVIDENCE
  for (let token = 0; token < 50_000; token += 1) cusum = addMargin(cusum, honest())
  const before = cusum.alarms
  let tokens = 0
  while (cusum.alarms === before && tokens < 20_000) {
    cusum = addMargin(cusum, cheat())
    tokens += 1
  }
  assert.ok(tokens < 5_000, `${tokens} tokens`)
  assert.is(cusum.sumMicro, 0)
  assert.ok(ALARM_MICRO > 13_800_000 && ALARM_MICRO < 13_900_000)
})

test('a report weighs what it lists, and nothing for what it does not', () => {
  const worst = [
    { position: 2, margin256: 128, claimed: 1, best: 2 },
    { position: 5, margin256: 512, claimed: 1, best: 2 },
  ]
  const start = { sumMicro: 5_000_000, alarms: 0 }
  const margins = [0, 0, 0.5, 0, 0, 2, 0]
  const byHand = margins.reduce(addMargin, start).sumMicro - start.sumMicro
  assert.is(evidenceOf({ positions: margins.length, worst }), byHand)
  assert.ok(evidenceOf({ positions: 500, worst: [] }) < 0)
  assert.is(evidenceOf({ positions: 2 ** 32 - 1, worst: [] }), 1 - 2 ** 31)
})

test('evidence of outputs adds up to an alarm, and never to less than nothing', () => {
  assert.equal(addEvidence(NO_EVIDENCE, -1), NO_EVIDENCE)
  const almost = addEvidence(NO_EVIDENCE, ALARM_MICRO - 1)
  assert.equal(almost, { sumMicro: ALARM_MICRO - 1, alarms: 0 })
  assert.equal(addEvidence(almost, 1), { sumMicro: 0, alarms: 1 })
})

test.run()
