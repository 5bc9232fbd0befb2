/** The table of attacks in docs/VERIFICATION.md is the catalogue, with an outcome for each. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { attackTable, CATALOGUE, outcomesIn, tableLines, withTable } from './support/catalogue.ts'

const DOCUMENT = readFileSync(join(import.meta.dirname, '..', '..', 'docs', 'VERIFICATION.md'), 'utf8')

test('the document has one line for every attack, in order, each with what came of it', () => {
  const cells = tableLines(DOCUMENT).map((line) => line.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '')))
  assert.equal(
    cells.map(([row, attack, expected]) => ({ row: Number(row), attack, expected })),
    CATALOGUE.map((row) => ({ ...row })),
  )
  assert.is(CATALOGUE.length, 40)
  assert.ok(cells.every(([, , , observed = '']) => observed.length > 3))
})

test('what the tests print is read back, and several lines of one row are put together', () => {
  const printed = [
    'row 1: expected it fails => observed 3 of 4',
    '•  suite  row 2: expected a => observed behind the dots of others',
    'row 1: expected it fails => observed 5',
    'row 3: expected ',
  ].join('\n')
  assert.equal(
    [...outcomesIn(printed)],
    [
      [1, '3 of 4; 5'],
      [2, 'behind the dots of others'],
    ],
  )
})

test('a table takes the place of the one before and leaves the rest as it is', () => {
  const outcomes = new Map(CATALOGUE.map(({ row }) => [row, `a | b ${row}`]))
  const once = withTable(DOCUMENT, attackTable(outcomes))
  assert.is(withTable(once, attackTable(outcomes)), once)
  assert.is(tableLines(once).length, CATALOGUE.length)
  assert.ok(once.startsWith(DOCUMENT.slice(0, 200)) && once.endsWith(DOCUMENT.slice(-200)))
  assert.throws(() => attackTable(new Map()), /no outcome of row 1/)
})

test.run()
