import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { PolicyTable } from '../../../../core/verification/policy-table.ts'
import { rateOf } from '../../../../node/calibration/bounds.ts'
import {
  areaUnder,
  joinedPower,
  rocOf,
  wholePower,
  windowPower,
  windowsOf,
} from '../../../../node/calibration/power.ts'
import { fitTable } from '../../../../node/calibration/table.ts'
import { classPattern, HONEST, type Trial } from '../../../../node/calibration/trials.ts'
import { Prng } from '../../../../node/simulation/prng.ts'
import { digestNamed } from '../../../support/people.ts'

const SEED = 99
const ENGINE = 'llama.cpp/b1 0123456789abcdef cpu-haswell linux-x64'
const ROW = {
  ...{ prover: 'cpu-* linux-x64', verifier: 'cpu-* linux-x64', temperature: 1, honestAudits: 1, honestTokens: 1 },
  ...{ suspectMicro: [10_000, 8_000, 6_000, 4_000], failMicro: [20_000, 16_000, 12_000, 8_000], worstMicro: 500_000 },
}
const TABLE: PolicyTable = { model: digestNamed('model'), engine: ENGINE, rows: [ROW] }

function trial(margins: readonly number[], parts: Partial<Trial> = {}): Trial {
  return {
    ...{ set: HONEST, index: 0, kind: 'chat', shape: 'alone', proverEngine: ENGINE, proverName: 'haswell' },
    ...{ verifierEngine: ENGINE, verifierName: 'haswell', temperatureMilli: 700, margins: Float32Array.from(margins) },
    claim: { sampling: { kind: 'gumbel-v1', temperatureMilli: 700, topK: 40 }, seed: new Uint8Array(32) },
    ...parts,
  }
}

const flat = (length: number, margin: number): number[] => Array.from({ length }, () => margin)

test('rates carry the bound that their runs allow', () => {
  assert.equal(rateOf(0, 3_000), { events: 0, runs: 3_000, rate: 0, low: 0, high: 0.001 })
  assert.equal(rateOf(300, 300), { events: 300, runs: 300, rate: 1, low: 0.99, high: 1 })
  assert.equal(rateOf(0, 0), { events: 0, runs: 0, rate: 0, low: 0, high: 1 })
  // Wilson's interval of 1 in 10, as in Newcombe (1998): 0.0179 to 0.4042.
  const { low, high } = rateOf(1, 10)
  assert.equal([low.toFixed(4), high.toFixed(4)], ['0.0179', '0.4042'])
})

test('whole outputs are judged by their length, stretches by theirs', () => {
  const all = [trial(flat(130, 0.009)), trial(flat(130, 0)), trial(flat(40, 0.4)), trial([...flat(20, 0), 0.6])]
  const whole = wholePower(TABLE, all)
  // 130 tokens at 0.009 are above 0.008; 40 tokens have no threshold but that of the worst; 0.6 is above it.
  assert.equal([whole.caught.events, whole.failed.events, whole.caught.runs], [2, 1, 4])
  const windows = windowPower(TABLE, all, 64)
  assert.equal([windows.caught.events, windows.caught.runs], [0, 4])
  assert.is(windowPower(TABLE, all, 128).caught.events, 1)
  assert.equal(
    windowsOf(Float32Array.of(1, 2, 3, 4, 5), 2).map((part) => [...part]),
    [
      [1, 2],
      [3, 4],
    ],
  )
})

test('an engine of another class abstains and counts for nobody', () => {
  const other = trial(flat(130, 0.5), { proverEngine: 'llama.cpp/b1 0123456789abcdef cuda linux-x64' })
  const { caught, abstained } = wholePower(TABLE, [other])
  assert.equal([caught.runs, abstained], [0, 1])
})

test(`short outputs that pass alone are caught together (seed ${SEED})`, () => {
  const short = Array.from({ length: 12 }, () => trial(flat(20, 0.02)))
  assert.is(wholePower(TABLE, short).caught.events, 0)
  assert.is(joinedPower(TABLE, short, 64, 50, new Prng(SEED)).caught.events, 50)
  assert.is(joinedPower(TABLE, [trial([])], 64, 50, new Prng(SEED)).caught.runs, 0)
})

test('a curve of two heaps that do not touch has the whole area, of one heap half', () => {
  assert.is(areaUnder(rocOf([0, 0.1], [0.2, 0.3])), 1)
  assert.is(areaUnder(rocOf([1, 1, 1], [1, 1])), 0.5)
  assert.is(areaUnder(rocOf([0.2, 0.3], [0, 0.1])), 0)
  assert.equal(rocOf([0, 1], [1, 2]), [
    [0, 0],
    [0, 0.5],
    [0.5, 1],
    [1, 1],
  ])
})

test('a class leaves the kernels open and nothing else', () => {
  assert.is(classPattern(ENGINE), 'cpu-* linux-x64')
  assert.is(classPattern(`${ENGINE} fa-off`), 'cpu-* linux-x64 fa-off')
  assert.is(classPattern('llama.cpp/b1 00 cpu-zen4+cuda linux-x64'), 'cpu-*+cuda linux-x64')
})

test(`a table has a row for each temperature of a pair, and none for a pair with few outputs (seed ${SEED})`, () => {
  const prng = new Prng(SEED)
  const honest = Array.from({ length: 120 }, (_, index) => {
    const temperatureMilli = [0, 700, 1_000][Math.floor(index / 2) % 3] ?? 0
    const proverEngine = index < 4 ? `${ENGINE} fa-off` : ENGINE
    return trial(flat(80, prng.chance(200) ? 0.01 : 0), { index, temperatureMilli, proverEngine })
  })
  const { table, leftOut } = fitTable('ab'.repeat(32), ENGINE, honest, { draws: 1_000, prng })
  assert.equal(
    table.rows.map(({ prover, verifier, temperature }) => [prover, verifier, temperature]),
    [0, 1, 2].map((bucket) => ['cpu-* linux-x64', 'cpu-* linux-x64', bucket]),
  )
  assert.equal(leftOut, ['cpu-* linux-x64 fa-off by cpu-* linux-x64'])
  // Half of them: the other half tries the table.
  assert.is(
    table.rows.reduce((sum, { honestAudits }) => sum + honestAudits, 0),
    56,
  )
  assert.throws(() => fitTable('ab'.repeat(32), ENGINE, honest.slice(0, 6), { draws: 10, prng }), /CF_CONFIG_INVALID/)
})

test.run()
