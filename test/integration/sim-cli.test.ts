/** `cfab-node sim` from its arguments to its exit status; no daemon runs. */
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { simulationText } from '../../node/commands/sim-text.ts'
import { runCommand } from '../support/cli.ts'
import { simulated } from '../support/simulation.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 60_000
const CWD = tempFolder()
const SMALL = '--peers 8 --jobs 6 --seed 5 --max-tokens 4'

function sim(words: string) {
  return runCommand(['sim', ...words.split(' ')], { cwd: CWD })
}

test(
  'a simulation is told in tables and drawn into a file, with exit status 0',
  within(LIMIT_MS, async () => {
    const { status, out, err } = await sim(`${SMALL} --crash 0.25 --svg plot.svg`)
    assert.is(status, 0, err)
    assert.match(out, /seed +5\n/)
    assert.match(out, /settled +6 of 6 admitted/)
    assert.match(out, /crash +2 /)
    assert.match(out, /sum of all 0\n/)
    assert.match(out, /No rule was broken\./)
    assert.match(readFileSync(path.join(CWD, 'plot.svg'), 'utf8'), /^<svg .*Seed 5\. Faults: 25 % crash/)
  }),
)

test(
  'as JSON it is the report that the API answers with, the same for the same seed',
  within(LIMIT_MS, async () => {
    const one = await sim(`${SMALL} --liars 0.25 --verify before --list 2 --json`)
    const report = JSON.parse(one.out)
    assert.is(report.request.faults.liar, 0.25)
    assert.is(report.request.verify, 'before')
    assert.is(report.list.items.length, 2)
    assert.is((await sim(`${SMALL} --liars 0.25 --verify before --list 2 --json`)).out, one.out)
  }),
)

test(
  'numbers out of bounds and words that are no numbers are refused with the bound',
  within(LIMIT_MS, async () => {
    for (const words of ['--peers 3', '--jobs many', '--crash 2', '--byzantine 5', '--budget -1', '--list 5000']) {
      const { status, err } = await sim(words)
      assert.is(status, 65, words)
      assert.match(err, /^error CF_CONTROL_BAD_REQUEST: /)
    }
    assert.is((await sim('--meteors 1')).status, 64)
  }),
)

test(
  'membership at scale is told in tables, drawn into a file and bounded, with exit status 0',
  within(LIMIT_MS, async () => {
    const small = '--members --peers 12 --regions 1 --views 200 --runs 2 --seed 5'
    const { status, out, err } = await sim(`${small} --svg members.svg`)
    assert.is(status, 0, err)
    assert.match(out, /regions +1 of 12 full members/)
    assert.match(out, /whole again \d/)
    assert.match(out, /All news reached everybody, all dead were found\./)
    assert.match(readFileSync(path.join(CWD, 'members.svg'), 'utf8'), /^<svg .*Dead peers/)
    const report = JSON.parse((await sim(`${small} --json`)).out)
    assert.equal([report.seed, report.regions.length, report.views.length], [5, 1, 3])
    for (const words of ['--peers 9', '--regions 17', '--views 100001', '--runs 0', '--loss 0.6', '--silent x'])
      assert.is((await sim(`--members ${words}`)).status, 78, words)
  }),
)

test(
  'a picture that cannot be written is an error of its own',
  within(LIMIT_MS, async () => {
    const { status, err } = await sim(`${SMALL} --svg absent/plot.svg`)
    assert.is(status, 78)
    assert.match(err, /--svg/)
  }),
)

test('what was broken is told by rule, at most ten of them, with what was left out', () => {
  const report = simulated()
  const violation = { rule: 'money-conserved', detail: 'the books sum to 1', atMs: 1_500 }
  const text = simulationText({ ...report, violations: new Array(12).fill(violation), violationsLeftOut: 3 })
  assert.match(text, /Violations\n {2}money-conserved {2}1\.50 s {2}the books sum to 1\n/)
  assert.match(text, /and 5 more\n$/)
})

test.run()
