/** What programs read: every command prints JSON when it is asked to, in one spelling. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { buildProgram } from '../../../../node/cli.ts'
import { placesOf } from '../../../../node/commands/completion.ts'
import { runCommand } from '../../../support/cli.ts'
import { settledRun } from '../../../support/settled-job.ts'
import { tempFolder } from '../../../support/temp-folder.ts'
import { within } from '../../../support/within.ts'

/** Commands without `--json`, and why. */
const EXCEPTIONS: Readonly<Record<string, string>> = {
  start: 'runs until it is stopped and answers nothing',
  bench: 'has --output, with json and jsonl among other formats',
  completion: 'prints a script for a shell',
}

function leaves() {
  const io = { out() {}, err() {}, env: {}, cwd: '/', readInput: () => null, onStop: () => () => undefined }
  return placesOf(buildProgram(io, async () => undefined)).filter(({ verbs }) => verbs.length === 0)
}

/** Names of members, at any depth. */
function namesIn(value: unknown): readonly string[] {
  if (Array.isArray(value)) return value.flatMap(namesIn)
  if (typeof value !== 'object' || value === null) return []
  return Object.entries(value).flatMap(([name, inner]) => [name, ...namesIn(inner)])
}

test('every command has --json, but for a short list with reasons', () => {
  const without = leaves().filter(({ flags }) => !flags.some(({ long }) => long === '--json'))
  assert.equal(without.map(({ path }) => path).sort(), Object.keys(EXCEPTIONS).sort())
  assert.ok(leaves().length > 20, 'the walk has found the commands')
})

test('--json takes no value, so that it can stand anywhere', () => {
  for (const { path, flags } of leaves())
    for (const { long, takesValue } of flags) if (long === '--json') assert.is(takesValue, false, path)
})

test(
  'what is printed with --json is one JSON value whose members are spelt in snake_case',
  within(30_000, async () => {
    const home = tempFolder()
    const receipts = (['three', 'vectors', 'no_workers'] as const).map((end) => {
      const path = join(home, `${end}.cfab-receipt`)
      writeFileSync(path, settledRun(end).file)
      return path
    })
    const lines: readonly (readonly string[])[] = [
      ['config', 'show'],
      ['config', 'path'],
      ['keys', 'list'],
      ['keys', 'api', 'ls'],
      ['keys', 'api', 'add', '--name', 'x'],
      ['models', 'ls'],
      ['models', 'verify', 'cfab-tiny'],
      ['found', 'demo'],
      ['sim', '--peers', '5', '--jobs', '2', '--seed', '1', '--list', '2'],
      ...receipts.flatMap((path) => [
        ['receipt', 'show', path],
        ['receipt', 'verify', path],
      ]),
    ]
    for (const line of lines) {
      const where = line[0] === 'sim' || line[1] === 'show' || line[0] === 'receipt' ? [] : ['--home', home]
      const { out, err } = await runCommand([...line, ...where, '--json'], { cwd: home, env: { HOME: home } })
      assert.ok(out.endsWith('\n'), `${line.join(' ')}: ${err}`)
      const odd = namesIn(JSON.parse(out)).filter((name) => !/^[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*$/.test(name))
      assert.equal(odd, [], line.join(' '))
    }
  }),
)

test.run()
