/** The command line against a control plane over the fake app: output, files, exit statuses. */
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createKeyStore } from '../../node/stores/keystore.ts'
import { type CliOptions, type CliRun, runCommand } from '../support/cli.ts'
import { ADMIN_KEY, type TestControl, withControl } from '../support/control.ts'
import { FAKE_TEXT } from '../support/fake-jobs.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

type Cli = (argv: readonly string[], options?: Partial<CliOptions>) => Promise<CliRun>

function withCli(work: (cli: Cli, context: TestControl, home: string) => Promise<void>): Promise<void> {
  return withControl(async (context) => {
    const home = tempFolder()
    mkdirSync(join(home, 'data'))
    writeFileSync(join(home, 'data', 'admin.key'), `${ADMIN_KEY}\n`, { mode: 0o600 })
    const env = { CFAB_HOME: home, CFAB_PORT: String(context.control.port) }
    await work((argv, options) => runCommand(argv, { cwd: home, env, ...options }), context, home)
  })
}

test(
  'job submit shows stages apart from the text and writes the receipt',
  within(5_000, () =>
    withCli(async (cli, { app }, home) => {
      const run = await cli([
        'job',
        'submit',
        '--stop',
        '\n',
        '--stop',
        'END',
        '--top-p',
        '0.9',
        '--replicas',
        '3',
        '--seeds',
        'split',
        '--speed',
        '20',
        '--max-budget',
        '5',
        '--temperature',
        '0',
        'Once',
        'upon',
      ])
      assert.equal([run.status, run.out], [0, `${FAKE_TEXT}\n`])
      for (const stage of ['admitted', 'assigned', 'executing', 'finished', 'settled']) assert.match(run.err, stage)
      assert.match(run.err, /outcome +verified \(local\)/)
      assert.match(run.err, /cost +0\.012345/)
      assert.match(run.err, /refund +0\.007655/)
      const file = /receipt +(\S+)/.exec(run.err)?.[1] ?? ''
      assert.match(readFileSync(file, 'utf8'), 'receipt of ')
      assert.ok(file.startsWith(home) && file.endsWith('.cfab-receipt'))
      const [job] = app.requests
      assert.equal([job?.replicas, job?.maxBudget, job?.temperatureMilli], [3, 5_000_000n, 0])
      assert.equal(job?.input, { task: 'chat', messages: [{ role: 'user', content: 'Once upon' }] })
      assert.equal([job?.stop, job?.topPMilli, job?.seeds], [['\n', 'END'], 900, 'split'])
      assert.is(job?.speedTarget, 20)
    }),
  ),
)

test(
  'job submit reads standard input, obeys --out, and prints one JSON value with --json',
  within(5_000, () =>
    withCli(async (cli, { app }, home) => {
      const run = await cli(['job', 'submit', '--json', '--out', join(home, 'mine.receipt')], { input: 'from a pipe' })
      const { job, outcome, receipt_file: file } = Object(JSON.parse(run.out))
      assert.equal(
        [run.status, job.text, outcome.outcome, file],
        [0, FAKE_TEXT, 'verified', join(home, 'mine.receipt')],
      )
      assert.equal(app.requests[0]?.input, { task: 'chat', messages: [{ role: 'user', content: 'from a pipe' }] })
      const none = await cli(['job', 'submit'])
      assert.is(none.status, 65)
      assert.match(none.err, 'error CF_JOB_INVALID')
    }),
  ),
)

test(
  'a dry run prints the price and runs nothing; --detach only the id; get and watch find it again',
  within(5_000, () =>
    withCli(async (cli, { app }) => {
      const quote = await cli(['job', 'submit', '--dry-run', 'x'])
      assert.match(quote.out, /held at most +0\.02/)
      assert.is(app.requests.length, 0)
      const detached = await cli(['job', 'submit', '--detach', 'hello'])
      const id = detached.out.trim()
      assert.match(id, /^[0-9a-f]{64}$/)
      const job = await cli(['job', 'get', id])
      assert.match(job.out, /VERDICT/)
      assert.match(job.out, FAKE_TEXT)
      assert.is(Object(JSON.parse((await cli(['job', 'get', id, '--json'])).out)).job_id, id)
      assert.is((await cli(['job', 'watch', id])).out, `${FAKE_TEXT}\n`)
    }),
  ),
)

test(
  'a prompt without --model goes to the chat model that the node serves, whatever this shell is set to',
  within(5_000, () =>
    withCli(async (cli, { app, control }, home) => {
      const env = { CFAB_HOME: home, CFAB_PORT: String(control.port), CFAB_MODEL: 'of-another-node' }
      const run = await cli(['job', 'submit', 'x'], { env })
      assert.is(run.status, 0, run.err)
      assert.is(app.requests[0]?.model, 'cfab-tiny')
    }),
  ),
)

test(
  'refusals are one line with the code, a hint, and their own exit status',
  within(5_000, () =>
    withCli(async (cli) => {
      const cases: readonly (readonly [readonly string[], number, string])[] = [
        [['job', 'submit', '--max-budget', '0.000001', 'x'], 65, 'CF_JOB_OVER_BUDGET'],
        [['job', 'submit', '--model', 'gpt-9', 'x'], 66, 'CF_MODEL_UNKNOWN'],
        [['job', 'submit', '--replicas', 'many', 'x'], 65, 'CF_CONTROL_BAD_REQUEST'],
        ...['0', '65536', '1.5', 'fast'].map(
          (speed) => [['job', 'submit', '--speed', speed, 'x'], 65, 'CF_CONTROL_BAD_REQUEST'] as const,
        ),
        [['job', 'get', 'f'.repeat(64)], 66, 'CF_JOB_UNKNOWN'],
        [['job', 'get', 'x'], 66, 'CF_JOB_UNKNOWN'],
        [['credits', 'balance', 'x'], 66, 'CF_LEDGER_ACCOUNT_UNKNOWN'],
        [['credits', 'mint', 'me', '-5'], 65, 'CF_LEDGER_AMOUNT_INVALID'],
        [['credits', 'mint', 'me', '1.0000001'], 65, 'CF_LEDGER_AMOUNT_INVALID'],
        [['status', '--port', '1'], 69, 'CF_CONTROL_UNREACHABLE'],
        [['status', '--port', 'x'], 78, 'CF_CONFIG_INVALID'],
        [['job', 'submit', 'fail no_workers'], 75, 'CF_JOB_FAILED'],
        [['frobnicate'], 64, ''],
        [['job', 'submit', '--verify', 'never', 'x'], 64, ''],
        [['job', 'submit', '--seeds', 'mine', 'x'], 64, ''],
      ]
      for (const [argv, status, code] of cases) {
        const run = await cli(argv)
        assert.is(run.status, status, `${argv.join(' ')}: ${run.err}`)
        if (code !== '') assert.match(run.err, new RegExp(`^error ${code}: .+$`, 'm'))
        assert.not.match(run.err, /\n +at /)
      }
      assert.match((await cli(['status', '--port', '1'])).err, 'hint: start the node')
    }),
  ),
)

test(
  'Ctrl-C asks the job to stop and still ends with its outcome',
  within(5_000, () =>
    withCli(async (cli, { app }) => {
      const run = await cli(['job', 'submit', 'slow'], { onReady: (interrupt) => setTimeout(interrupt, 50) })
      assert.is(app.cancelled.length, 1)
      assert.match(run.err, /outcome +refunded/)
      assert.is(run.status, 75)
    }),
  ),
)

test(
  'status and credits read well and as JSON; audit fails when the books do',
  within(5_000, () =>
    withCli(async (cli, { app }) => {
      const status = await cli(['status'])
      for (const line of ['Node', 'Credits', 'Jobs', /spendable +1000\.5/, /idle +no job asks/, /quorum +3 of 4/])
        assert.match(status.out, line)
      assert.is(Object(JSON.parse((await cli(['status', '--json'])).out)).quorum, 3)
      const minted = await cli(['credits', 'mint', 'me', '0.5', '--reason', 'gift', '--idempotency-key', 'k'])
      assert.match(minted.out, `minted 0.5 to user/${app.user}`)
      assert.is(
        Object(
          JSON.parse(
            (await cli(['credits', 'mint', 'me', '0.5', '--reason', 'gift', '--idempotency-key', 'k', '--json'])).out,
          ),
        ).amount,
        '0.5',
      )
      assert.is(app.transfers({ limit: 9 }).length, 1)
      assert.match((await cli(['credits', 'balance'])).out, /held +0\.02/)
      assert.match((await cli(['credits', 'history', 'me'])).out, /mint +mint +user\/cf1/)
      assert.is((await cli(['credits', 'audit'])).status, 0)
      app.setReady(false)
      const broken = await cli(['credits', 'audit'])
      assert.is(broken.status, 70)
      assert.match(broken.out, 'NO, ')
    }),
  ),
)

test(
  'a key file that others can read is not used',
  within(5_000, () =>
    withCli(async (cli, _context, home) => {
      chmodSync(join(home, 'data', 'admin.key'), 0o644)
      const run = await cli(['credits', 'mint', 'me', '1'])
      assert.equal([run.status, run.err.includes('CF_IDENTITY_KEY_UNREADABLE')], [77, true])
    }),
  ),
)

test(
  'a home has its key before its first start when it is asked to, and keeps it',
  within(5_000, async () => {
    const home = tempFolder()
    const cli = (...argv: string[]) => runCommand([...argv, '--home', home], { cwd: home })
    const { out, status } = await cli('keys', 'create')
    assert.is(status, 0)
    assert.match(out, /^cf1[a-z2-7]{52}\n$/)
    assert.is((await cli('keys', 'create')).out, out)
    assert.match((await cli('keys', 'show', 'node')).out, out.trim())
  }),
)

test(
  'keys are listed and shown without their secrets, and showing creates none',
  within(5_000, async () => {
    const home = tempFolder()
    const cli = (...argv: string[]) => runCommand([...argv, '--home', home], { cwd: home })
    assert.match((await cli('keys', 'list')).out, 'no keys yet')
    assert.is((await cli('keys', 'show', 'user')).status, 77)
    assert.not(existsSync(join(home, 'data', 'keys', 'user.key')))
    const { peer } = await createKeyStore(join(home, 'data', 'keys'), seededRandom(1)).load('user')
    const seed = readFileSync(join(home, 'data', 'keys', 'user.key'), 'utf8').trim()
    for (const argv of [
      ['keys', 'list'],
      ['keys', 'list', '--json'],
      ['keys', 'show', 'user'],
      ['keys', 'show', 'user', '--json'],
    ]) {
      const run = await cli(...argv)
      assert.match(run.out, peer)
      assert.not.match(run.out + run.err, seed)
    }
  }),
)

test(
  'receipt commands need no daemon and tell unreadable from invalid',
  within(5_000, async () => {
    const home = tempFolder()
    const cli = (...argv: string[]) => runCommand(argv, { cwd: home, env: { CFAB_HOME: home } })
    writeFileSync(join(home, 'junk'), 'not a receipt')
    writeFileSync(join(home, 'empty'), '')
    writeFileSync(join(home, 'huge'), Buffer.alloc(2_000_000))
    for (const verb of ['show', 'verify']) {
      for (const [file, status] of [
        ['junk', 65],
        ['empty', 65],
        ['huge', 66],
        ['absent', 66],
        ['.', 66],
      ] as const) {
        assert.is((await cli('receipt', verb, file)).status, status, `${verb} ${file}`)
      }
    }
    assert.equal(Object.keys(JSON.parse((await cli('receipt', 'verify', 'junk', '--json')).out)), [
      'status',
      'where',
      'reason',
    ])
    assert.is((await cli('receipt', 'verify', 'junk', '--root', 'absent-genesis')).status, 78)
    assert.is((await cli('receipt', 'verify', 'junk', '--root', 'junk')).status, 78)
    assert.is((await cli('receipt', 'verify', 'junk', '--root', 'a'.repeat(64))).status, 65)
    writeFileSync(join(home, 'roots'), `# mine\n${'a'.repeat(64)} # local\n\n`)
    assert.is((await cli('receipt', 'verify', 'junk')).status, 65)
    writeFileSync(join(home, 'roots'), 'typo\n')
    assert.is((await cli('receipt', 'verify', 'junk')).status, 78)
  }),
)

test(
  'help and version end with 0',
  within(5_000, async () => {
    for (const argv of [['--help'], ['job', 'submit', '--help'], ['--version']]) {
      const run = await runCommand(argv, { cwd: '/' })
      assert.is(run.status, 0)
      assert.ok(run.out.length > 0)
    }
  }),
)

test.run()
