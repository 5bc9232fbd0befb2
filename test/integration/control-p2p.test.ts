/** Jobs, intents, receipts, peers over HTTP, and how an Idempotency-Key names a job. */
import { createHash } from 'node:crypto'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { equalBytes } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { nonceOf } from '../../node/control/job-fields.ts'
import { seedNonceOf } from '../../node/control/sampling-fields.ts'
import { ask, askJson, type Reply, withControl } from '../support/control.ts'
import { FAKE_TEXT } from '../support/fake-jobs.ts'
import { within } from '../support/within.ts'

const jsonOf = ({ body }: Reply): Record<string, unknown> => Object(JSON.parse(body))
const codeIn = (reply: Reply): unknown => Object(jsonOf(reply)['error']).code
const wish = { model: 'cfab-tiny', prompt: 'hello', replicas: 3, max_budget: '5', temperature: 0 }

function framed(...parts: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(part.length)
      return [length, part]
    }),
  )
}

test(
  'an intent is accepted, can be read as a job, and ends in a receipt file',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      const accepted = await askJson(`${url}/api/v1/p2p/intents`, wish)
      const { job_id: id, receipt_url: receipt, prompt_tokens: tokens } = jsonOf(accepted)
      assert.equal([accepted.status, tokens, receipt], [202, 7, `/api/v1/p2p/receipts/${id}`])
      assert.equal(
        [app.requests[0]?.replicas, app.requests[0]?.maxBudget, app.requests[0]?.temperatureMilli],
        [3, 5_000_000n, 0],
      )
      const job = jsonOf(await ask(`${url}/api/v1/p2p/jobs/${id}`))
      assert.equal([job['phase'], job['hold'], job['cost'], job['text']], ['settled', '0.02', '0.012345', FAKE_TEXT])
      const file = await ask(`${url}${receipt}`)
      assert.is(file.headers['content-type'], 'application/octet-stream')
      assert.is(file.body, `receipt of ${id}`)
    }),
  ),
)

test(
  'a dry run quotes and submits nothing',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      const quote = await askJson(`${url}/api/v1/p2p/intents`, { ...wish, dry_run: true })
      assert.is(quote.status, 200)
      const parts = { base: '0.015', bonus: '0.003', speed: '0', audits: '0', fee: '0.002' }
      assert.equal(jsonOf(quote)['price'], { hold: '0.02', ...parts })
      assert.equal(jsonOf(quote)['eligible_peers'], [app.node])
      assert.is(app.requests.length, 0)
    }),
  ),
)

test(
  'one key and body is one job, another body under the key is a conflict',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      const key = { 'idempotency-key': 'order-17' }
      const first = jsonOf(await askJson(`${url}/api/v1/p2p/intents`, wish, key))
      const again = jsonOf(await askJson(`${url}/api/v1/p2p/intents`, wish, key))
      assert.equal([again['job_id'], again['repeated'], first['repeated']], [first['job_id'], true, false])
      const other = await askJson(`${url}/api/v1/p2p/intents`, { ...wish, prompt: 'other' }, key)
      assert.equal([other.status, codeIn(other), other.headers['x-should-retry']], [409, 'CF_JOB_NONCE_USED', 'false'])
      const body = { model: 'cfab-tiny', messages: [{ role: 'user', content: 'hello' }] }
      const chats = await Promise.all(
        [1, 2].map(() => askJson(`${url}/v1/chat/completions`, body, { 'idempotency-key': 'chat-1' })),
      )
      assert.is(new Set(chats.map((chat) => jsonOf(chat)['id'])).size, 1)
      const nonce = createHash('sha256').update('chat-1').digest().readBigUInt64BE(0)
      assert.equal([app.requests.at(-1)?.nonce, nonceOf('chat-1')], [nonce, nonce])
      const both = await askJson(`${url}/api/v1/p2p/intents`, { ...wish, nonce: '1' }, key)
      assert.equal([both.status, codeIn(both)], [400, 'CF_CONTROL_BAD_REQUEST'])
      for (const bad of ['', 'k'.repeat(129)])
        assert.is((await askJson(`${url}/api/v1/p2p/intents`, wish, { 'idempotency-key': bad })).status, 400)
    }),
  ),
)

test('a seed is the same sample everywhere and no other', () => {
  assert.is(
    Buffer.from(seedNonceOf(7)).toString('hex'),
    createHash('sha256').update('cfab/http-seed/v1\0').update('7').digest('hex'),
  )
  assert.not.equal(seedNonceOf(7), seedNonceOf(-7))
})

test(
  'an intent signed elsewhere is passed on byte for byte',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      const post = (body: Uint8Array) =>
        ask(`${url}/api/v1/p2p/intents`, {
          method: 'POST',
          headers: { 'content-type': 'application/vnd.cfab.intent' },
          body,
        })
      const [envelope, payload] = [Uint8Array.of(1, 2, 3), new Uint8Array(1_048_576).fill(9)]
      assert.is((await post(framed(envelope, payload))).status, 202)
      const [signed] = app.signed
      assert.ok(signed !== undefined && equalBytes(signed.envelope, envelope) && equalBytes(signed.payload, payload))
      const whole = framed(envelope, Uint8Array.of(4))
      const longer = Buffer.concat([whole, Uint8Array.of(0)])
      for (const bad of [
        new Uint8Array(0),
        whole.slice(0, 5),
        whole.slice(0, -1),
        longer,
        Uint8Array.of(255, 255, 255, 255, 0),
      ]) {
        const reply = await post(bad)
        assert.equal([reply.status, codeIn(reply)], [400, 'CF_CONTROL_BAD_REQUEST'])
      }
      assert.is((await post(framed(envelope, new Uint8Array(1_100_000)))).status, 413)
      const elsewhere = { method: 'POST', headers: { 'content-type': 'application/vnd.cfab.intent' }, body: whole }
      assert.is((await ask(`${url}/v1/chat/completions`, elsewhere)).status, 400)
    }),
  ),
)

test(
  'pages of jobs lose none, though all were made in one millisecond',
  within(5_000, () =>
    withControl(async ({ url }) => {
      for (let index = 0; index < 5; index += 1) await askJson(`${url}/api/v1/p2p/intents`, wish)
      const page = jsonOf(await ask(`${url}/api/v1/p2p/jobs?limit=2`))
      assert.equal([Object(page['items']).length, page['next_cursor']], [5, null])
      for (const query of ['limit=0', 'limit=201', 'limit=x', 'cursor=-1', 'order=asc']) {
        assert.is((await ask(`${url}/api/v1/p2p/jobs?${query}`)).status, 400, query)
      }
    }),
  ),
)

test(
  'unknown, malformed and unsettled ids have their own answers',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      const unknown = 'f'.repeat(64)
      for (const path of [`jobs/${unknown}`, `jobs/${unknown}/events`, `receipts/${unknown}`]) {
        const reply = await ask(`${url}/api/v1/p2p/${path}`)
        assert.equal([reply.status, codeIn(reply)], [404, 'CF_JOB_UNKNOWN'], path)
      }
      for (const path of ['jobs/abc', `jobs/${unknown.toUpperCase()}`, 'receipts/..%2f..%2fetc']) {
        assert.equal([(await ask(`${url}/api/v1/p2p/${path}`)).status], [400], path)
      }
      const { job_id: id } = jsonOf(await askJson(`${url}/api/v1/p2p/intents`, { ...wish, prompt: 'slow' }))
      const early = await ask(`${url}/api/v1/p2p/receipts/${id}`)
      assert.equal([early.status, codeIn(early)], [409, 'CF_JOB_NOT_SETTLED'])
      assert.is((await ask(`${url}/api/v1/p2p/jobs/${id}`, { method: 'DELETE' })).status, 202)
      assert.equal(app.cancelled, [id])
      assert.is((await ask(`${url}/api/v1/p2p/jobs/${unknown}`, { method: 'DELETE' })).status, 404)
    }),
  ),
)

test(
  'peers, genesis, status, health and readiness are told',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      assert.is(Object(jsonOf(await ask(`${url}/api/v1/p2p/peers`))['items'])[0].id, app.node)
      assert.is((await ask(`${url}/api/v1/p2p/genesis`)).body, 'genesis')
      assert.is(Object(jsonOf(await ask(`${url}/api/v1/status`))['credits']).spendable, '1000.5')
      app.setReady(false)
      const notReady = await ask(`${url}/readyz`)
      assert.equal([notReady.status, notReady.headers['retry-after']], [503, '1'])
      assert.is((await ask(`${url}/healthz`)).status, 200)
    }),
  ),
)

test(
  'an exception that nobody expected tells the client nothing of itself',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      app.failNext(new TypeError('secret /root/path'))
      const reply = await askJson(`${url}/api/v1/p2p/intents`, wish)
      assert.equal([reply.status, codeIn(reply)], [500, 'CF_CONTROL_INTERNAL'])
      assert.not.match(reply.body, 'secret')
      app.failNext(new FabricError('CF_LEDGER_INSUFFICIENT_CREDIT', { spendable: 5n }))
      const poor = await askJson(`${url}/api/v1/p2p/intents`, wish)
      assert.equal([poor.status, codeIn(poor)], [402, 'CF_LEDGER_INSUFFICIENT_CREDIT'])
    }),
  ),
)

test.run()
