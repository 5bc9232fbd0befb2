/** `cfab-node calibrate` on the bundled model, from its arguments to a signed table; no daemon runs. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { policyTableCodec } from '../../core/verification/policy-table.ts'
import { CFAB_TINY } from '../../models/catalogue.ts'
import { readPolicyFile } from '../../node/calibration/policy-file.ts'
import { runCommand } from '../support/cli.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 300_000
const SEED = 20_261_122
const CHEAT = CFAB_TINY.path.replace('q8_0', 'q4_0')

function calibrate(cwd: string, ...words: readonly string[]) {
  return runCommand(['calibrate', ...words], { cwd, env: { CFAB_HOME: join(cwd, 'home') } })
}

test(
  `a quick calibration measures, signs a table and draws (seed ${SEED})`,
  within(LIMIT_MS, async () => {
    const cwd = tempFolder()
    const sizes = ['--outputs', '48', '--cheats', '12', '--max-tokens', '32', '--seed', String(SEED)]
    const files = ['--cheat', CHEAT, '--out', 'tiny.policy', '--svg', 'roc.svg']
    const { status, out, err } = await calibrate(cwd, 'cfab-tiny', '--quick', '--json', ...sizes, ...files)
    assert.is(status, 0, err)
    const summary = JSON.parse(out)
    const { table, body, signer } = await readPolicyFile(join(cwd, 'tiny.policy'))
    assert.is(summary.model.digest, CFAB_TINY.digest)
    assert.equal(table.rows, summary.rows)
    assert.equal(policyTableCodec.encode(table), body)
    assert.match(err, new RegExp(`signed by ${signer}`))
    assert.match(err, new RegExp(`seed ${SEED}`))

    // Half of the outputs made the table, half tried it; each was audited twice, in another variant each time.
    assert.is(summary.fitted.outputs + summary.held.outputs, 48)
    assert.is(summary.fitted.audits + summary.held.audits, 96)
    assert.is(summary.fitted.failed.events, 0)
    assert.ok(summary.held.worstNats < 0.5, 'honest variants differ by little')
    assert.ok(summary.cost.auditing.tokens > 0 && summary.cost.generating.ms > 0)

    const caught = Object.fromEntries(
      summary.cheats.map(({ set, whole }: { set: string; whole: { caught: { rate: number } } }) => [
        set,
        whole.caught.rate,
      ]),
    )
    assert.ok(caught['another prompt'] > 0.8, `another prompt: ${caught['another prompt']}`)
    assert.ok(caught['early stop'] > 0.8, `early stop: ${caught['early stop']}`)
    assert.ok(caught['one token'] > 0.5, `one token: ${caught['one token']}`)
    assert.ok('cfab-tiny-q4_0' in caught)
    assert.match(readFileSync(join(cwd, 'roc.svg'), 'utf8'), /^<svg .*cfab-tiny/)
  }),
)

test(
  'what cannot be calibrated is refused before anything runs',
  within(LIMIT_MS, async () => {
    const cwd = tempFolder()
    const refused = async (code: RegExp, ...words: readonly string[]): Promise<void> => {
      const { status, err } = await calibrate(cwd, ...words)
      assert.is.not(status, 0)
      assert.match(err, code)
    }
    await refused(/CF_MODEL_UNKNOWN/, 'no-such-model')
    await refused(/CF_MODEL_UNKNOWN/, 'no-such-file.gguf')
    await refused(/CF_MODEL_UNSUPPORTED/, 'use-lite-en')
    await refused(/CF_CONFIG_INVALID/, 'cfab-tiny', '--outputs', '3')
    await refused(/CF_CONFIG_INVALID/, 'cfab-tiny', '--threads', '1,none')
    await refused(/CF_MODEL_UNKNOWN/, 'cfab-tiny', '--cheat', 'no-such-file.gguf')
  }),
)

test(
  'a file that is no signed table is refused',
  within(LIMIT_MS, async () => {
    await readPolicyFile(CFAB_TINY.path).then(
      () => assert.unreachable(),
      (error: unknown) => assert.match(String(error), /CF_CONFIG_INVALID/),
    )
  }),
)

test.run()
