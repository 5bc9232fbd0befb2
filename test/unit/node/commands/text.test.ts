/** What a person reads: receipts of each task, the way to a broken file, hints that fit, flags that ask for nothing. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { LiveView } from '../../../../node/commands/live.ts'
import { failureText } from '../../../../node/commands/start.ts'
import { systemClock } from '../../../../node/runtime/system.ts'
import { runCommand } from '../../../support/cli.ts'
import { type End, settledRun } from '../../../support/settled-job.ts'
import { tempFolder } from '../../../support/temp-folder.ts'
import { within } from '../../../support/within.ts'

async function shown(end: End): Promise<string> {
  const folder = tempFolder()
  writeFileSync(join(folder, 'a.cfab-receipt'), settledRun(end).file)
  const { status, out } = await runCommand(['receipt', 'show', 'a.cfab-receipt'], { cwd: folder })
  assert.is(status, 0)
  return out
}

test(
  'the receipt of an embedding job speaks of texts and numbers, not of tokens that were sampled',
  within(5_000, async () => {
    const vectors = await shown('vectors')
    assert.match(vectors, /texts +2, of \d+ tokens/)
    assert.match(vectors, 'NUMBERS')
    for (const word of ['sampling', 'TOKENS', 'stream']) assert.not.match(vectors, word)
    const text = await shown('three')
    assert.match(text, 'TOKENS')
    assert.match(text, /sampling +gumbel-v1/)
    assert.match(text, /tokens +\d+ in, at most \d+ out/)
  }),
)

test('a job that ends with vectors is not said to have finished with 0 tokens', () => {
  let err = ''
  const io = {
    out() {},
    err: (text: string) => {
      err += text
    },
    ...{ env: {}, cwd: '/', readInput: () => null, onStop: () => () => undefined },
  }
  const view = new LiveView(io, systemClock, true)
  view.show({ name: 'vectors', data: { encoding: 'base64', vectors: ['AAAA', 'AAAA'] } })
  view.show({ name: 'finish', data: { finish: 'stop', completion_tokens: 0 } })
  assert.match(err, /finished +2 vectors\n$/)
  assert.not.match(err, 'tokens')
})

test(
  'config path names the file also while it is broken',
  within(5_000, async () => {
    const home = tempFolder()
    mkdirSync(home, { recursive: true })
    writeFileSync(join(home, 'config.toml'), 'port = \n')
    const run = await runCommand(['config', 'path', '--home', home], { cwd: home })
    assert.equal([run.status, run.out], [0, `${join(home, 'config.toml')}\n`])
    const broken = await runCommand(['config', 'show', '--home', home], { cwd: home })
    assert.is(broken.status, 78)
    assert.match(broken.err, 'hint: flags come before')
  }),
)

test(
  'a flag that is wrong gets no hint about files and variables, a missing key one that says how keys come to be',
  within(5_000, async () => {
    const cwd = tempFolder()
    const flag = await runCommand(['bench', '--prompt', 'x'], { cwd })
    assert.is(flag.status, 78)
    assert.not.match(flag.err, 'hint')
    const key = await runCommand(['keys', 'show', 'nobody', '--home', cwd], { cwd })
    assert.is(key.status, 77)
    assert.match(key.err, 'first start')
  }),
)

test(
  'a bench of nothing is refused before a model is loaded',
  within(5_000, async () => {
    const run = await runCommand(['bench', '--prompt', '0', '--gen', '0'], { cwd: tempFolder() })
    assert.is(run.status, 78)
    assert.match(run.err, 'CF_CONFIG_INVALID')
  }),
)

test(
  'help does not show an empty list as the default of a flag that may be repeated',
  within(5_000, async () => {
    for (const verb of [
      ['job', 'submit'],
      ['receipt', 'verify'],
    ])
      assert.not.match((await runCommand([...verb, '--help'], { cwd: '/' })).out, /default:\s+\[\]/)
  }),
)

test('a start whose model cannot be loaded says which, why, and what can be done, instead of what to ask it', () => {
  const models = [
    { id: 'big', task: 'chat', state: 'failed', reason: 'CF_MODEL_LOAD_FAILED' },
    { id: 'use-lite-en', task: 'embedding', state: 'ready', reason: null },
  ]
  const text = failureText({ ready: false, host_state: 'failed', models }, ' --port 9')
  assert.match(text, 'model big failed: CF_MODEL_LOAD_FAILED')
  assert.match(text, 'cfab-node status --port 9')
  assert.not.match(text, 'use-lite-en')
})

test.run()
