/** Holds the sizes of STYLE: a file fits in a head, a function on a screen. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ROOT, read, sources } from './source.ts'

const FILE_LINES_MAX = 400
const FILE_LINES_MEDIAN_MAX = 120
const FUNCTION_LINES_MAX = 60

function linesOf(text: string): number {
  return text.trimEnd().split('\n').length
}

test(`no file has more than ${FILE_LINES_MAX} lines`, () => {
  const files = sources('{bin,core,native,models,node,bench,scripts,test,examples}/**/*.{ts,js,mjs}')
  const long = files
    .map(({ file, text }) => `${file}: ${linesOf(text)}`)
    .filter((line) => Number(line.split(': ')[1]) > FILE_LINES_MAX)
  assert.equal(long, [])
})

test(`the median file has at most ${FILE_LINES_MEDIAN_MAX} lines`, () => {
  const lines = sources('{core,native,models,node}/**/*.ts').map(({ text }) => linesOf(text))
  const median = lines.sort((a, b) => a - b)[Math.floor(lines.length / 2)] ?? 0
  assert.ok(median > 0 && median <= FILE_LINES_MEDIAN_MAX, `the median is ${median}`)
})

/** The linter counts the lines between the braces. */
const BRACES = 2

/** Lints, by our rules, a folder with one file of core that holds one function of so many lines. */
function lintFunction(linesCount: number): { readonly refused: boolean; readonly output: string } {
  const folder = mkdtempSync(path.join(tmpdir(), 'cfab-lint-'))
  try {
    const statements = Array.from({ length: linesCount - 4 }, (_, index) => `  sum += ${index}`)
    const lines = ['export function long(): number {', '  let sum = 0', ...statements, '  return sum', '}', '']
    mkdirSync(path.join(folder, 'core'))
    writeFileSync(path.join(folder, 'core', 'planted.ts'), lines.join('\n'))
    writeFileSync(
      path.join(folder, 'biome.json'),
      JSON.stringify({ ...JSON.parse(read('biome.json')), vcs: { enabled: false } }),
    )
    const biome = path.join(ROOT, 'node_modules', '.bin', 'biome')
    const { status, stdout, stderr } = spawnSync(biome, ['lint', '--colors=off', '.'], {
      cwd: folder,
      encoding: 'utf8',
    })
    return { refused: status !== 0, output: stdout + stderr }
  } finally {
    rmSync(folder, { recursive: true })
  }
}

test(`the linter refuses a function of more than ${FUNCTION_LINES_MAX} lines`, () => {
  const long = lintFunction(FUNCTION_LINES_MAX + BRACES + 1)
  assert.ok(long.refused, 'a long function is refused')
  assert.match(long.output, /noExcessiveLinesPerFunction/)
  const allowed = lintFunction(FUNCTION_LINES_MAX + BRACES)
  assert.not.ok(allowed.refused, allowed.output)
})

test.run()
