/** The six credit routes: decimal amounts, one transaction per key, pages. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ADMIN_KEY, ask, askJson, type Reply, withControl } from '../support/control.ts'
import { within } from '../support/within.ts'

const jsonOf = ({ body }: Reply): Record<string, unknown> => Object(JSON.parse(body))
const errorOf = (reply: Reply): unknown => [
  reply.status,
  Object(jsonOf(reply)['error']).code,
  Object(jsonOf(reply)['error']).param,
]
const admin = { authorization: `Bearer ${ADMIN_KEY}` }

test(
  'an account shows its three balances and its latest transactions',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      await askJson(`${url}/api/v1/credits/spend`, { owner_id: app.user, amount: '0.25', reason: 'tea' })
      const account = jsonOf(await ask(`${url}/api/v1/credits/accounts/user/${app.user}`))
      assert.equal([account['account_type'], account['account_id']], ['user', app.user])
      assert.equal(account['balance'], { spendable: '1000.5', held: '0.02', pending: '0' })
      const { kind, amount, reason, debit, credit } = Object(account['recent_transactions'])[0]
      assert.equal(
        [kind, amount, reason, debit, credit],
        ['spend', '0.25', 'tea', `user/${app.user}`, 'platform/local'],
      )
      for (const path of ['user/cf1nobody', 'bank/x', 'mint/x', `user/${app.user.slice(0, -1)}0`]) {
        assert.equal(errorOf(await ask(`${url}/api/v1/credits/accounts/${path}`)), [
          404,
          'CF_LEDGER_ACCOUNT_UNKNOWN',
          'account_id',
        ])
      }
    }),
  ),
)

test(
  'a transaction has every field, and a retry under its key is the same one',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      const body = { account_type: 'user', account_id: app.user, amount: '100', reason: 'welcome' }
      const mint = (more: object, key: string) =>
        askJson(`${url}/api/v1/credits/mint`, { ...body, ...more }, { ...admin, 'idempotency-key': key })
      const first = await mint({}, 'k1')
      const row = jsonOf(first)
      const fields = [
        'amount',
        'credit',
        'debit',
        'hash',
        'id',
        'idempotency_key',
        'job_id',
        'kind',
        'node_id',
        'reason',
        'time',
      ]
      assert.equal(Object.keys(row).sort(), fields)
      assert.equal([row['amount'], row['idempotency_key'], row['kind'], row['debit']], ['100', 'k1', 'mint', 'mint'])
      assert.is((await mint({}, 'k1')).body, first.body)
      assert.equal(errorOf(await mint({ amount: '101' }, 'k1')), [409, 'CF_LEDGER_IDEMPOTENCY_CONFLICT', null])
      const unnamed = [
        await askJson(`${url}/api/v1/credits/mint`, body, admin),
        await askJson(`${url}/api/v1/credits/mint`, body, admin),
      ]
      const keys = unnamed.map((reply) => String(jsonOf(reply)['idempotency_key']))
      assert.is(new Set(keys).size, 2, 'without a key each call is its own transaction')
    }),
  ),
)

test(
  'only whole micro-credits above zero move',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      for (const amount of [
        '0',
        '-1',
        '1.0000001',
        '1e3',
        ' 1',
        '+1',
        '01',
        '',
        '9999999999999',
        'NaN',
        1,
        null,
        {},
        ['1'],
      ]) {
        const reply = await askJson(`${url}/api/v1/credits/spend`, { owner_id: app.user, amount, reason: 'x' })
        assert.equal(errorOf(reply), [400, 'CF_LEDGER_AMOUNT_INVALID', 'amount'], JSON.stringify(amount))
      }
      assert.is(app.transfers({ limit: 10 }).length, 0)
    }),
  ),
)

test(
  'nobody spends for another, and fields are checked by name',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      const spend = (body: object) =>
        askJson(`${url}/api/v1/credits/spend`, { owner_id: app.user, amount: '1', reason: 'x', ...body })
      assert.equal(errorOf(await spend({ owner_id: app.node })), [401, 'CF_CONTROL_UNAUTHORIZED', 'owner_id'])
      assert.equal(errorOf(await spend({ owner_id: 'me' })), [400, 'CF_CONTROL_BAD_REQUEST', 'owner_id'])
      assert.equal(errorOf(await spend({ reason: '' })), [400, 'CF_CONTROL_BAD_REQUEST', 'reason'])
      assert.equal(errorOf(await spend({ reason: 'é'.repeat(65) })), [400, 'CF_CONTROL_BAD_REQUEST', 'reason'])
      assert.equal(errorOf(await spend({ job_id: 'x' })), [400, 'CF_CONTROL_BAD_REQUEST', 'job_id'])
      assert.equal(errorOf(await spend({ note: 'x' })), [400, 'CF_CONTROL_BAD_REQUEST', 'note'])
      assert.equal(errorOf(await spend({ amount: '2000' })), [402, 'CF_LEDGER_INSUFFICIENT_CREDIT', null])
      const transfer = (body: object) =>
        askJson(`${url}/api/v1/credits/transfer`, { amount: '1', reason: 'x', ...body }, admin)
      assert.equal(errorOf(await transfer({ from: 'mint', to: `user/${app.user}` })), [
        400,
        'CF_CONTROL_BAD_REQUEST',
        'from',
      ])
      assert.equal(errorOf(await transfer({ from: `user/${app.user}`, to: `user/${app.user}` })), [
        400,
        'CF_CONTROL_BAD_REQUEST',
        'to',
      ])
      assert.is((await transfer({ from: `user/${app.user}`, to: 'platform/local' })).status, 200)
    }),
  ),
)

test(
  'pages of transactions are complete, ordered and filtered',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      for (let index = 1; index <= 5; index += 1) {
        await askJson(`${url}/api/v1/credits/spend`, { owner_id: app.user, amount: String(index), reason: 'x' })
      }
      const seen: string[] = []
      let cursor: unknown = ''
      while (cursor !== null) {
        const page = jsonOf(
          await ask(
            `${url}/api/v1/credits/transactions/list?account_type=user&account_id=${app.user}&limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`,
          ),
        )
        for (const item of Object(page['items'])) seen.push(Object(item).amount)
        cursor = page['next_cursor']
      }
      assert.equal(seen, ['5', '4', '3', '2', '1'])
      const none = jsonOf(await ask(`${url}/api/v1/credits/transactions/list?job_id=${'a'.repeat(64)}`))
      assert.equal(none, { items: [], next_cursor: null })
      for (const query of ['account_type=user', 'job_id=x', 'limit=1000', 'cursor=a', 'limit=1&limit=2']) {
        assert.is((await ask(`${url}/api/v1/credits/transactions/list?${query}`)).status, 400, query)
      }
    }),
  ),
)

test(
  'audits asked for at once are one audit',
  within(5_000, () =>
    withControl(async ({ url, app }) => {
      const replies = await Promise.all([1, 2, 3, 4].map(() => ask(`${url}/api/v1/credits/audit`)))
      assert.equal(jsonOf(replies[0] ?? { status: 0, headers: {}, body: '{}' })['zero_sum'], true)
      assert.ok(app.audits() < 4, `${app.audits()} audits`)
    }),
  ),
)

test.run()
