/** Completion scripts, run by a real bash: what a person gets at the Tab key. */
import { spawnSync } from 'node:child_process'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { runCommand } from '../../../support/cli.ts'
import { tempFolder } from '../../../support/temp-folder.ts'
import { within } from '../../../support/within.ts'

async function script(shell: string): Promise<string> {
  const run = await runCommand(['completion', shell], { cwd: tempFolder() })
  assert.is(run.status, 0, run.err)
  return run.out
}

async function completed(...words: readonly string[]): Promise<readonly string[]> {
  const line = words.map((word) => `'${word}'`).join(' ')
  const ask = `COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _cfab_node; printf '%s\\n' "\${COMPREPLY[@]}"`
  const bash = spawnSync('bash', ['-c', `${await script('bash')}\n${ask}`], { encoding: 'utf8', timeout: 5_000 })
  assert.is(bash.stderr, '')
  return bash.stdout.split('\n').filter((word) => word !== '')
}

test(
  'verbs, nested verbs, flags and their choices are completed',
  within(20_000, async () => {
    assert.equal(await completed('cfab-node', 'rece'), ['receipt'])
    assert.equal(await completed('cfab-node', 'job', 'ex'), ['explain'])
    assert.equal(await completed('cfab-node', 'job', 'submit', '--max-b'), ['--max-budget'])
    assert.equal(await completed('cfab-node', 'job', 'submit', '--verify', ''), ['after', 'before'])
    assert.equal(await completed('cfab-node', 'job', 'submit', '--verify', 'after', '--replic'), ['--replicas'])
    assert.equal(await completed('cfab-node', 'completion', 'fi'), ['fish'])
    assert.equal(await completed('cfab-node', 'bench', '-o', 'cs'), ['csv'])
    assert.equal(await completed('cfab-node', 'models', 'pu'), ['pull'])
    assert.equal(await completed('cfab-node', 'keys', 'api', 'rev'), ['revoke'])
    assert.equal(await completed('cfab-node', 'nothing-of-ours', 'x'), [])
  }),
)

test(
  'zsh and fish scripts name every verb',
  within(20_000, async () => {
    const [zsh, fish] = [await script('zsh'), await script('fish')]
    assert.match(zsh, 'bashcompinit')
    for (const verb of ['start', 'status', 'job', 'receipt', 'credits', 'completion']) {
      assert.match(zsh, new RegExp(`\\b${verb}\\b`))
      assert.match(fish, `-a '${verb}'`)
    }
    assert.match(fish, '__fish_seen_subcommand_from job; and not __fish_seen_subcommand_from submit')
  }),
)

test(
  'another shell is refused',
  within(5_000, async () => {
    assert.is((await runCommand(['completion', 'cmd'], { cwd: tempFolder() })).status, 64)
  }),
)

test.run()
