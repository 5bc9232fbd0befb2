/** The table of `cfab-node bench` in each of its formats, and flags that are refused before a model is loaded. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type BenchRow, tableOf } from '../../../../node/commands/bench.ts'
import { runCommand } from '../../../support/cli.ts'
import { tempFolder } from '../../../support/temp-folder.ts'
import { within } from '../../../support/within.ts'

const ROW: BenchRow = {
  ...{ model: 'cfab-tiny', bytes: 2_564_096, parameters: '2.4M', backend: 'cpu', threads: 1, driver: 'native' },
  ...{ ngl: 0, test: 'tg128' },
  speeds: [90, 100, 110],
}

test('the markdown table has the customary columns, mean and standard deviation', () => {
  const [head, , line] = tableOf([ROW], 'md').split('\n')
  const cells = (row = ''): readonly string[] =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim())
  assert.equal(cells(head), ['model', 'size', 'params', 'backend', 'threads', 'driver', 'ngl', 'test', 't/s'])
  assert.equal(cells(line), ['cfab-tiny', '2.45 MiB', '2.4M', 'CPU', '1', 'native', '0', 'tg128', '100.00 ± 10.00'])
})

test('json, jsonl and csv say the same', () => {
  const [row] = JSON.parse(tableOf([ROW], 'json'))
  assert.equal([row.test, row.mean, row.deviation, row.repetitions], ['tg128', 100, 10, 3])
  assert.equal(JSON.parse(tableOf([ROW], 'jsonl').trim()), row)
  const [head = '', line = ''] = tableOf([ROW], 'csv').split('\n')
  assert.equal(head.split(','), Object.keys(row))
  assert.equal(line.split(','), Object.values(row).map(String))
})

test(
  'flags out of range are refused by name',
  within(10_000, async () => {
    for (const argv of [
      ['-p', '-1'],
      ['-n', 'many'],
      ['--parallel', '1,65'],
      ['-r', '0'],
      ['--threads', '0'],
    ]) {
      const run = await runCommand(['bench', ...argv], { cwd: tempFolder() })
      assert.equal([argv.join(' '), run.status], [argv.join(' '), 78], run.err)
    }
    const unknown = await runCommand(['bench', '-m', 'nobody-has-this'], { cwd: tempFolder() })
    assert.is(unknown.status, 66, unknown.err)
    const embedding = await runCommand(['bench', '-m', 'use-lite-en'], { cwd: tempFolder() })
    assert.match(embedding.err, 'CF_MODEL_UNSUPPORTED')
  }),
)

test.run()
