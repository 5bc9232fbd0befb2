/** What a founder decides for good: the genesis that `found` writes. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseGenesis } from '../../core/log/genesis.ts'
import { runCommand } from '../support/cli.ts'
import { expectAccepted } from '../support/job-run.ts'
import { tempFolder } from '../support/temp-folder.ts'

test('earned credit vests after a day, so that a slash finds it, unless the founder says otherwise', async () => {
  const folder = tempFolder()
  const vestOf = async (home: string, ...flags: readonly string[]): Promise<bigint> => {
    const { status, err } = await runCommand(['found', 'test', '--home', join(folder, home), ...flags], { cwd: folder })
    assert.is(status, 0, err)
    return expectAccepted(parseGenesis(readFileSync(join(folder, home, 'data', 'genesis')))).prices.vestMs
  }
  assert.is(await vestOf('default'), 86_400_000n)
  assert.is(await vestOf('week', '--vest', '7d'), 604_800_000n)
  assert.is(await vestOf('none', '--vest', '0s'), 0n)
  const refused = await runCommand(['found', 'test', '--home', join(folder, 'x'), '--vest', 'never'], { cwd: folder })
  assert.match(refused.err, 'CF_CONFIG_INVALID')
})

test.run()
