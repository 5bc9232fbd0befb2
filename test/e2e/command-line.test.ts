/** `cfab-node` as a person types it, against a spawned daemon with the real model: a job to its receipt, and every way to be refused. */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { member, textAt } from '../../node/commands/json.ts'
import { ask, askJson, type Reply } from '../support/control.ts'
import { type CommandRun, getJson, ready, runNode, type SpawnedNode, startNode } from '../support/spawned-node.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const OTHER_ROOT = 'ab'.repeat(32)
const home = tempFolder()
const folder = tempFolder()
let node: SpawnedNode
let swarm = ''

test.before(async () => {
  node = await startNode(home)
  await ready(node)
  swarm = textAt(await getJson(`${node.address}/api/v1/status`), 'swarm')
})
test.after(async () => {
  await node.stop()
})

/** The node's own flags are added: this is how a person would call it from any folder. */
function run(...args: readonly string[]): Promise<CommandRun> {
  return runNode([...args, '--home', home, '--port', new URL(node.address).port], { cwd: folder })
}

function receiptFile(): string {
  const [name] = readdirSync(folder).filter((file) => file.endsWith('.cfab-receipt'))
  assert.ok(name !== undefined, 'a receipt file was written')
  return join(folder, name ?? '')
}

test(
  'a job shows its stages live, its text, then cost, refund and receipt',
  within(30_000, async () => {
    const { status, out, err } = await run('job', 'submit', '--replicas', '3', '--max-budget', '5', 'Once upon a time')
    assert.is(status, 0, err)
    assert.ok(out.trim().length > 10, 'the text is on standard output')
    const stages = ['admitted', 'proposed', 'assigned', 'executing', 'committed', 'revealed', 'verified', 'settled']
    const places = stages.map((stage) => err.indexOf(`  ${stage}`))
    assert.ok(
      places.every((place, index) => place >= 0 && place >= (places[index - 1] ?? 0)),
      err,
    )
    const [cost, refund] = ['cost', 'refund'].map((name) => Number(new RegExp(`${name} +([0-9.]+)`).exec(err)?.[1]))
    assert.ok((cost ?? 0) > 0 && (refund ?? 0) > 0, err)
    assert.match(err, '.cfab-receipt')
  }),
)

test(
  'its receipt verifies with the right root only, offline, and not with one byte changed, added or removed',
  within(60_000, async () => {
    const file = receiptFile()
    const verify = (path: string, root: string) =>
      runNode(['receipt', 'verify', path, '--root', root, '--home', folder])
    const valid = await verify(file, swarm)
    assert.is(valid.status, 0, valid.out + valid.err)
    assert.match(valid.out, /^valid/)
    const unknown = await verify(file, OTHER_ROOT)
    assert.is(unknown.status, 3)
    assert.match(unknown.out, swarm)
    const bytes = readFileSync(file)
    const changed = Buffer.from(bytes)
    changed[bytes.length >> 1] = (changed[bytes.length >> 1] ?? 0) ^ 1
    const lies = { changed, added: Buffer.concat([bytes, Buffer.of(0)]), removed: bytes.subarray(0, -1) }
    for (const [what, lie] of Object.entries(lies)) {
      const path = join(folder, `${what}.bin`)
      writeFileSync(path, lie)
      const { status, out } = await verify(path, swarm)
      assert.is(status, 65, `${what}: ${out}`)
      assert.match(out, /^invalid: \S+/, what)
    }
    assert.is((await verify(join(folder, 'nowhere'), swarm)).status, 66)
  }),
)

test(
  'over budget, unknown model, repeated nonce: a code, a hint, and an exit status of its own',
  within(30_000, async () => {
    const dear = await run('job', 'submit', '--max-budget', '0.000001', 'Hello')
    assert.is(dear.status, 65)
    assert.match(dear.err, /error CF_JOB_OVER_BUDGET: .*\nhint: /)
    const unknown = await run('job', 'submit', '--model', 'gpt-4o', 'Hello')
    assert.is(unknown.status, 66)
    assert.match(unknown.err, 'error CF_MODEL_UNKNOWN')
    const first = await run('job', 'submit', '--detach', '--nonce', '7', 'Hello')
    const again = await run('job', 'submit', '--detach', '--nonce', '7', 'Hello')
    assert.is(first.status, 0, first.err)
    assert.is(again.out, first.out, 'the same wish is the same job')
    const other = await run('job', 'submit', '--detach', '--nonce', '7', 'Hello, you!')
    assert.is(other.status, 65)
    assert.match(other.err, 'error CF_JOB_NONCE_USED')
  }),
)

test(
  'a second daemon on the port or the home of the first says so and leaves it alone',
  within(30_000, async () => {
    const port = new URL(node.address).port
    const busy = await runNode(['start', '--home', tempFolder(), '--port', port])
    assert.is(busy.status, 69)
    assert.match(busy.err, 'error CF_CONTROL_PORT_BUSY')
    const locked = await runNode(['start', '--home', home, '--port', '0'])
    assert.is(locked.status, 75)
    assert.match(locked.err, 'error CF_CONFIG_HOME_LOCKED')
    assert.is((await run('status')).status, 0)
  }),
)

test(
  'without a daemon a command says where it looked',
  within(10_000, async () => {
    const { status, err } = await runNode(['status', '--home', folder, '--port', '1'])
    assert.is(status, 69)
    assert.match(err, /error CF_CONTROL_UNREACHABLE: .*127\.0\.0\.1:1/)
  }),
)

type Refused = readonly [what: string, status: number, code: string, ask: () => Promise<Reply>]
const INTENTS = '/api/v1/p2p/intents'
const JSON_TYPE = { 'content-type': 'application/json' }
const WISH = { model: 'cfab-tiny', prompt: 'Hello' }
const post = (path: string, body: string, headers: Readonly<Record<string, string>> = {}): Promise<Reply> =>
  ask(node.address + path, { method: 'POST', headers: { ...JSON_TYPE, ...headers }, body })
const REFUSED: readonly Refused[] = [
  ['an oversized body', 413, 'CF_CONTROL_BODY_TOO_LARGE', () => post('/v1/chat/completions', ' '.repeat(1_048_577))],
  ['broken JSON', 400, 'CF_CONTROL_BAD_REQUEST', () => post(INTENTS, '{"model":')],
  ['JSON that is not UTF-8', 400, 'CF_CONTROL_BAD_REQUEST', () => post(INTENTS, '{"model":"\ud800"}x')],
  ['a list for an object', 400, 'CF_CONTROL_BAD_REQUEST', () => post(INTENTS, '[]')],
  ['a foreign Origin', 403, 'CF_CONTROL_ORIGIN_REFUSED', () => post(INTENTS, '{}', { origin: 'https://evil.example' })],
  ['a foreign Host', 403, 'CF_CONTROL_ORIGIN_REFUSED', () => post(INTENTS, '{}', { host: 'evil.example' })],
  ['a wrong content type', 400, 'CF_CONTROL_BAD_REQUEST', () => post(INTENTS, '{}', { 'content-type': 'text/plain' })],
  ['a mint without the key', 401, 'CF_CONTROL_UNAUTHORIZED', () => post('/api/v1/credits/mint', '{}')],
  [
    'a signed intent of noise',
    400,
    'CF_CONTROL_BAD_REQUEST',
    () => post(INTENTS, 'noise', { 'content-type': 'application/vnd.cfab.intent' }),
  ],
  [
    'too little budget',
    402,
    'CF_JOB_OVER_BUDGET',
    () => askJson(node.address + INTENTS, { ...WISH, max_budget: '0.000001' }),
  ],
  ['another region', 400, 'CF_JOB_INVALID', () => askJson(node.address + INTENTS, { ...WISH, region: 'mars' })],
  ['an unknown job', 404, 'CF_JOB_UNKNOWN', () => ask(`${node.address}/api/v1/p2p/jobs/${'0'.repeat(64)}`)],
  ['an unknown route', 404, 'CF_CONTROL_NOT_FOUND', () => ask(`${node.address}/v1/completions`)],
]
for (const [what, status, code, request] of REFUSED) {
  test(
    `${what} is answered ${status} ${code}`,
    within(10_000, async () => {
      const answer = await request()
      assert.is(answer.status, status, answer.body)
      assert.is(textAt(JSON.parse(answer.body), 'error', 'code'), code)
    }),
  )
}

test(
  'a spend or mint repeated with its key is the same transaction, with other content a conflict',
  within(10_000, async () => {
    const user = textAt(await getJson(`${node.address}/api/v1/status`), 'user')
    const spend = (amount: string) =>
      askJson(
        `${node.address}/api/v1/credits/spend`,
        { owner_id: user, amount, reason: 'coffee' },
        { 'idempotency-key': 'one coffee' },
      )
    const [first, again, other] = [await spend('1.5'), await spend('1.5'), await spend('2')]
    assert.is(first.status, 200, first.body)
    assert.is(again.body, first.body)
    assert.is(other.status, 409)
    assert.is(textAt(JSON.parse(other.body), 'error', 'code'), 'CF_LEDGER_IDEMPOTENCY_CONFLICT')
    const minted = await run('credits', 'mint', 'me', '0.5', '--idempotency-key', 'a grant')
    assert.is(minted.status, 0, minted.err)
    assert.is((await run('credits', 'mint', 'me', '0.5', '--idempotency-key', 'a grant')).out, minted.out)
    assert.is((await run('credits', 'mint', 'me', '0.6', '--idempotency-key', 'a grant')).status, 65)
  }),
)

test(
  'who has spent everything is refused, and after a grant is served again',
  within(30_000, async () => {
    const status = await getJson(`${node.address}/api/v1/status`)
    const body = {
      owner_id: textAt(status, 'user'),
      amount: textAt(status, 'credits', 'spendable'),
      reason: 'all of it',
    }
    assert.is((await askJson(`${node.address}/api/v1/credits/spend`, body)).status, 200)
    const broke = await run('job', 'submit', 'Hello')
    assert.is(broke.status, 65)
    assert.match(broke.err, /error CF_LEDGER_INSUFFICIENT_CREDIT[\s\S]*credits mint me 100/)
    assert.is((await run('credits', 'mint', 'me', '100')).status, 0)
    assert.is((await run('job', 'submit', '--max-tokens', '4', 'Hello')).status, 0)
  }),
)

test(
  'the audit proves that the books sum to zero and follow from the log',
  within(30_000, async () => {
    const { status, out } = await run('credits', 'audit')
    assert.is(status, 0, out)
    assert.match(out, /zero sum +yes/)
    assert.match(out, 'the log gives the same books')
    const history = await run('credits', 'history', 'me', '--json', '--limit', '200')
    const rows = JSON.parse(history.out)
    assert.ok(Array.isArray(member(rows, 'items')))
    for (const kind of ['starter', 'hold', 'base', 'bonus', 'fee', 'refund', 'spend', 'mint'])
      assert.match(history.out, `"kind": "${kind}"`)
  }),
)

test.run()
