/** Holds core/errors.ts and docs/ERRORS.md equal in both directions, numbers included. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ERRORS, type ErrorRow } from '../../core/errors.ts'
import { codeOnly, read, sources } from './source.ts'

const AREAS = ['CONFIG', 'IDENTITY', 'MESH', 'ROSTER', 'QUORUM', 'JOB', 'WORKER', 'MODEL', 'LEDGER', 'STORE', 'CONTROL']
/** The exit numbers of sysexits.h. */
const [EXIT_MIN, EXIT_MAX] = [64, 78]

const ROWS = Object.entries<ErrorRow>(ERRORS)
const DOCUMENT = read('docs/ERRORS.md')

/** A line of the document up to its last column, which is prose for the reader: what to do. */
function lineOf(code: string, { http, exit, retry, summary }: ErrorRow): string {
  return `| \`${code}\` | ${http} | ${exit} | ${retry} | ${summary} |`
}

const LINES = DOCUMENT.split('\n').filter((line) => line.startsWith('| `CF_'))

test('every code is documented with its numbers and its meaning', () => {
  const missing = ROWS.map(([code, row]) => lineOf(code, row)).filter(
    (wanted) => !LINES.some((line) => line.startsWith(wanted)),
  )
  assert.equal(missing, [], 'docs/ERRORS.md lacks these lines')
})

test('nothing is documented that does not exist, and nothing twice', () => {
  const wanted = new Set(ROWS.map(([code]) => code))
  const codes = LINES.map((line) => /`(\w+)`/.exec(line)?.[1] ?? line)
  assert.equal(
    codes.filter((code, index) => !wanted.has(code) || codes.indexOf(code) !== index),
    [],
  )
})

test('every documented code says what to do', () => {
  const silent = LINES.filter((line) => !/\| [^|]{10,} \|$/.test(line))
  assert.equal(silent, [])
})

test('every code stands in the section of its area', () => {
  const sections = DOCUMENT.split(/^## /m).slice(1)
  for (const section of sections) {
    const area = section.slice(0, section.indexOf('\n'))
    for (const [, code = ''] of section.matchAll(/^\| `(\w+)`/gm))
      assert.ok(code.startsWith(`CF_${area}_`), `${code} in ${area}`)
  }
})

test('every code is well formed and its numbers mean something', () => {
  for (const [code, { http, exit, summary }] of ROWS) {
    assert.match(code, new RegExp(`^CF_(?:${AREAS.join('|')})(?:_[A-Z]+)+$`))
    assert.ok(http >= 400 && http <= 599, `${code}: HTTP ${http}`)
    assert.ok(exit >= EXIT_MIN && exit <= EXIT_MAX, `${code}: exit ${exit}`)
    assert.match(summary, /^[A-Z].*\.$/, `${code}: the summary is a sentence`)
  }
})

test('every code is used', () => {
  const code = sources('{bin,core,native,models,node}/**/*.{ts,js}')
    .filter(({ file }) => file !== 'core/errors.ts')
    .map(({ text }) => text)
    .join('\n')
  assert.ok(codeOnly(code).length > 0)
  assert.equal(
    ROWS.map(([name]) => name).filter((name) => !new RegExp(`\\b${name}\\b`).test(code)),
    [],
  )
})

test.run()
