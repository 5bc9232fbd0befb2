/** The simulation in small: clean seeds, every planted bug, and the same run twice. `npm run simulate` is the long one. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { within } from '../support/within.ts'
import { BUGS } from './bugs.ts'

type Outcome = {
  readonly ok: boolean
  readonly reports: readonly {
    readonly name: string
    readonly ok: boolean
    readonly seeds: number
    readonly hash?: string
  }[]
  readonly coverage: Readonly<Record<string, number>>
}

const SEED = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const LIMIT_MS = 180_000
/** Seen more than a hundred times in so many seeds: a run without them has not tried anything. */
const FREQUENT = [
  'message dropped',
  'message duplicated',
  'partition',
  'crash',
  'restart',
  'equivocation seen in a tally',
  'receipt: paid',
  'receipt: refunded',
]
console.log(`SEED=${SEED}`)

test(
  'three hundred seeds of faults break no rule',
  within(LIMIT_MS, async (signal) => {
    const { reports, coverage } = await simulate(['--seeds', '300', '--bug', 'none'], signal)
    assert.is(reports[0]?.seeds, 300)
    assert.ok(reports[0]?.ok, 'no rule is broken')
    for (const name of FREQUENT) assert.ok((coverage[name] ?? 0) > 0, `${name} happens`)
  }),
)

test(
  'every planted bug is found',
  within(LIMIT_MS, async (signal) => {
    const { reports } = await simulate(['--seeds', '0', '--bug', 'all'], signal)
    const found = reports.filter(({ ok }) => ok).map(({ name }) => name)
    assert.equal(found.toSorted(), Object.keys(BUGS).toSorted())
  }),
)

test(
  'a seed plays the same run each time, and real signatures hold as the fast ones do',
  within(LIMIT_MS, async (signal) => {
    const run = () => simulate(['--seeds', '10', '--real', '4', '--bug', 'none'], signal)
    const [first, second] = [await run(), await run()]
    assert.ok(first.ok)
    assert.equal(
      first.reports.map(({ hash }) => hash),
      second.reports.map(({ hash }) => hash),
    )
  }),
)

async function simulate(args: readonly string[], signal: AbortSignal): Promise<Outcome> {
  const { SEED: _, ...env } = process.env
  const main = path.join(import.meta.dirname, 'main.ts')
  const command = [main, '--json', '--from', String(SEED), '--real', '0', ...args]
  const child = spawn(process.execPath, command, { env, signal, stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text
  })
  await once(child, 'close')
  return parseOutcome(output)
}

function parseOutcome(output: string): Outcome {
  return JSON.parse(output) as Outcome
}

test.run()
