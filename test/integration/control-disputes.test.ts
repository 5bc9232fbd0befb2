/** Evidence and disputes over HTTP and by the command line, over the fake app. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { textAt } from '../../node/commands/json.ts'
import { NO_LIMITS } from '../support/access.ts'
import { runCommand } from '../support/cli.ts'
import { ask, askJson, type Reply, type TestControl, withControl } from '../support/control.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const wish = { model: 'cfab-tiny', prompt: 'hello', replicas: 3 }
const UNKNOWN = '0'.repeat(64)
const codeIn = ({ body }: Reply): string => textAt(JSON.parse(body), 'error', 'code')

async function submitted({ url }: TestControl): Promise<string> {
  return textAt(JSON.parse((await askJson(`${url}/api/v1/p2p/intents`, wish)).body), 'job_id')
}

test(
  'evidence is a file, of the replica that was asked for',
  within(5_000, () =>
    withControl(async (context) => {
      const id = await submitted(context)
      const evidence = (query = '', job = id) => ask(`${context.url}/api/v1/p2p/jobs/${job}/evidence${query}`)
      const file = await evidence('?replica=2')
      assert.is(file.headers['content-type'], 'application/octet-stream')
      assert.match(String(file.headers['content-disposition']), /\.cfab-evidence/)
      assert.is(file.body, `evidence about 2 of ${id}`)
      assert.match((await evidence('?prompt=true')).body, /with its prompt/)
      for (const query of ['?replica=x', '?replica=10', '?prompt=yes', '?other=1'])
        assert.is((await evidence(query)).status, 400, query)
      assert.is(codeIn(await evidence('', UNKNOWN)), 'CF_JOB_UNKNOWN')
    }),
  ),
)

test(
  'a key that may only read does not get the prompt, and opens no dispute',
  within(5_000, () =>
    withControl(
      async (context) => {
        const { url, keys } = context
        const { text } = await keys.add({ ...NO_LIMITS, name: 'reader', role: 'read' })
        const { text: owner } = await keys.add({ ...NO_LIMITS, name: 'owner', role: 'user' })
        const as = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })
        const made = await askJson(`${url}/api/v1/p2p/intents`, wish, as(owner).headers)
        const id = textAt(JSON.parse(made.body), 'job_id')
        const path = `${url}/api/v1/p2p/jobs/${id}`
        assert.is((await ask(`${path}/evidence`, as(text))).status, 200)
        assert.is(codeIn(await ask(`${path}/evidence?prompt=true`, as(text))), 'CF_CONTROL_FORBIDDEN')
        assert.is((await ask(`${path}/evidence?prompt=true`, as(owner))).status, 200)
        const claim = { replica: 0, claim: 'reject' }
        assert.is((await askJson(`${path}/disputes`, claim, as(text).headers)).status, 403)
        assert.is((await askJson(`${path}/disputes`, claim, as(owner).headers)).status, 202)
      },
      { apiKey: 'the-api-key' },
    ),
  ),
)

test(
  'a dispute is opened with a replica and a claim, and nothing else',
  within(5_000, () =>
    withControl(async (context) => {
      const id = await submitted(context)
      const open = (body: unknown, job = id) => askJson(`${context.url}/api/v1/p2p/jobs/${job}/disputes`, body)
      const opened = await open({ replica: 1, claim: 'accept' })
      assert.is(opened.status, 202)
      const { replica, claim, bond, outcome, opened: time } = JSON.parse(opened.body)
      assert.equal([replica, claim, bond, outcome, time], [1, 'accept', '0.02', null, '1970-01-01T00:00:00.000Z'])
      for (const body of [
        { replica: 1 },
        { claim: 'accept' },
        { replica: '1', claim: 'accept' },
        { replica: 1.5, claim: 'reject' },
        { replica: 0, claim: 'maybe' },
        { replica: 0, claim: 'reject', bond: 1 },
      ])
        assert.is((await open(body)).status, 400, JSON.stringify(body))
      assert.is(codeIn(await open({ replica: 0, claim: 'reject' }, UNKNOWN)), 'CF_JOB_UNKNOWN')
    }),
  ),
)

test(
  'the command line exports evidence and opens disputes',
  within(5_000, () =>
    withControl(async (context) => {
      const id = await submitted(context)
      const home = tempFolder()
      const env = { CFAB_HOME: home, CFAB_PORT: String(context.control.port) }
      const cli = (...argv: readonly string[]) => runCommand(argv, { cwd: home, env })
      const saved = await cli('evidence', 'export', id, '--replica', '1', '--prompt', '-o', 'case.cfab-evidence')
      assert.is(saved.status, 0, saved.err)
      const file = join(home, 'case.cfab-evidence')
      assert.is(saved.out, `${file}\n`)
      assert.is(readFileSync(file, 'utf8'), `evidence about 1 of ${id} with its prompt`)
      const opened = await cli('job', 'dispute', id, '--replica', '1', '--claim', 'reject')
      assert.is(opened.status, 0, opened.err)
      assert.match(opened.out, /DISPUTED +CLAIM +BY +BOND +OUTCOME\n1 +reject +cf1\S+ +0\.02 +open/)
      assert.is((await cli('job', 'dispute', id, '--replica', '1', '--claim', 'perhaps')).status, 64)
      assert.is((await cli('evidence', 'export', 'no-job', '-o', 'x')).status, 66)
      const broken = await cli('evidence', 'verify', file)
      assert.is(broken.status, 65)
      assert.match(broken.err, /CF_JOB_EVIDENCE_INVALID/)
    }),
  ),
)

test.run()
