import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readGgufFileInfo } from 'node-llama-cpp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { comparedOf, inTurn, isMet, markdown, quantile, type Row } from '../../../bench/engine/rows.ts'
import { SHAPE_TINY, synthesise } from '../../../bench/engine/synth.ts'
import { speedTogether } from '../../../bench/engine/workload.ts'
import { CFAB_TINY } from '../../../models/catalogue.ts'
import { within } from '../../support/within.ts'

const ROW: Row = {
  ...{ test: 'decode', unit: 't/s', reference: 'other', comparison: 'ratio' },
  ...{ ours: [90, 100, 110], theirs: [100, 100, 100], wanted: { atLeast: 0.97 } },
}

test('a median lies between the two middle values, and quartiles between their neighbours', () => {
  assert.is(quantile([4, 1, 3, 2], 0.5), 2.5)
  assert.is(quantile([5, 1, 2, 4, 3], 0.25), 2)
  assert.ok(Number.isNaN(quantile([], 0.5)))
})

test('what was measured in one round is compared, and the median of that is held against what is wanted', () => {
  assert.equal(comparedOf(ROW), [0.9, 1, 1.1])
  assert.is(isMet(ROW), true)
  assert.equal(comparedOf({ ...ROW, comparison: 'difference' }), [-10, 0, 10])
  assert.is(isMet({ ...ROW, comparison: 'alone', wanted: { atMost: 99 } }), false)
  assert.match(
    markdown([ROW]),
    /\| decode \| t\/s \| 100 \| other \| 100 \| 1\.000 \| 0\.950 to 1\.050 \| >= 0\.970 \| yes \| 3 \|$/,
  )
})

test('the order of the ways turns each round, and the first round does not count', async () => {
  const order: string[] = []
  const way = (name: string) => ({
    name,
    run: async () => {
      order.push(name)
      return { speed: order.length }
    },
  })
  const samples = await inTurn([way('a'), way('b')], 2)
  assert.is(order.join(''), 'baabba')
  assert.equal(samples('a', 'speed'), [3, 6])
  assert.equal(samples('b', 'speed'), [4, 5])
})

test('the speed of several streams counts from the last beginning to the first end', () => {
  const one = [0, 1_000, 2_000, 3_000]
  const other = [1_000, 2_000, 3_000, 4_000]
  assert.is(speedTogether([one, other]), 2)
})

test(
  'a model drawn at random is a GGUF file of the shape that was asked for',
  within(20_000, async () => {
    const folder = await mkdtemp(join(tmpdir(), 'cfab-test-'))
    try {
      const path = join(folder, 'synth.gguf')
      const digest = await synthesise(path, CFAB_TINY.path, SHAPE_TINY)
      assert.is(await synthesise(path, CFAB_TINY.path, SHAPE_TINY), digest, 'made once')
      const [made, real] = await Promise.all(
        [path, CFAB_TINY.path].map((file) => readGgufFileInfo(file, { logWarnings: false })),
      )
      const tensors = (info: typeof made): readonly string[] =>
        (info?.fullTensorInfo ?? []).map(({ name, dimensions, ggmlType }) => `${name} ${dimensions} ${ggmlType}`).sort()
      assert.equal(tensors(made), tensors(real))
      assert.equal(made?.metadata.tokenizer, real?.metadata.tokenizer)
    } finally {
      await rm(folder, { recursive: true })
    }
  }),
)

test.run()
