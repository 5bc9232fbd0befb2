/** Budgets of API keys over HTTP: races, repeats, restarts and clocks; and the ways around them that do not exist. */
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../core/errors.ts'
import type { KeyUsage } from '../../node/runtime/access.ts'
import type { App } from '../../node/runtime/app.ts'
import { systemClock } from '../../node/runtime/system.ts'
import { Database } from '../../node/stores/database.ts'
import { createKeyUsage } from '../../node/stores/key-usage.ts'
import { keyFile, MemoryUsage, WatchedApp } from '../support/access.ts'
import { askJson, askRaw, type Reply, type TestControl, withControl } from '../support/control.ts'
import { createFakeApp } from '../support/fake-app.ts'
import { FAKE_PRICE } from '../support/fake-jobs.ts'
import { chat, errorCode, intent, type Keyed, keyOf, used } from '../support/keyed.ts'
import { manualClock } from '../support/manual-clock.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

/** What a job of the fake app costs in the end. */
const COST = 12_345n
const COUNTED = 50
const AFFORDED = 10

test(
  'of many requests at once no more are taken than the budget covers, and what comes back can be spent',
  within(20_000, () =>
    withControl(async (context) => {
      const { url, app, watched } = context
      watched.keepOpen()
      const key = await keyOf(context, { budget: FAKE_PRICE * BigInt(AFFORDED) })
      const replies = await Promise.all(Array.from({ length: COUNTED }, () => intent(url, key.headers)))
      const accepted = replies.filter(({ status }) => status === 202)
      assert.equal([accepted.length, app.requests.length], [AFFORDED, AFFORDED])
      for (const reply of replies.filter(({ status }) => status !== 202))
        assert.equal([reply.status, errorCode(reply)], [402, 'CF_CONTROL_BUDGET_EXHAUSTED'])
      assert.equal(await used(url, key.id), { spent: '0', held: '0.2', open: '10' })
      watched.settleAll()
      assert.equal(await used(url, key.id), { spent: '0.12345', held: '0', open: '0' })
      // 0.2 - 0.12345 covers three more.
      const more = await Promise.all(Array.from({ length: COUNTED }, () => intent(url, key.headers)))
      assert.is(more.filter(({ status }) => status === 202).length, 3)
    }),
  ),
)

test(
  'a budget for a day is new the next day, and a clock that steps back finds the day that it left',
  within(10_000, async () => {
    const clock = manualClock(1_700_000_000_000)
    let stepMs = 0
    const stepping = { ...clock, nowMs: () => clock.nowMs() + stepMs }
    await withControl(
      async (context) => {
        const { url } = context
        const key = await keyOf(context, { budgetPerDay: FAKE_PRICE })
        const status = async (): Promise<number> => (await intent(url, key.headers)).status
        assert.is(await status(), 202)
        await clock.advance(2_000)
        assert.is(await status(), 402, 'what was spent leaves less than a job')
        stepMs = 86_400_000
        assert.equal([await status(), await status()], [202, 402], 'the next day')
        stepMs = 0
        assert.is(await status(), 402, 'back on the day before')
        stepMs = -86_400_000 * 365
        assert.equal([await status(), await status()], [202, 402], 'a day of its own, once')
      },
      {},
      { clock: stepping, keys: keyFile(undefined, clock) },
    )
  }),
)

test(
  'a repeat of a job costs nothing, also when the budget is gone, and also for n choices',
  within(10_000, () =>
    withControl(async (context) => {
      const { url, watched, app } = context
      watched.keepOpen()
      const key = await keyOf(context, { budget: FAKE_PRICE })
      const again = { ...key.headers, 'idempotency-key': 'once' }
      const [first, second] = [await intent(url, again), await intent(url, again)]
      assert.equal([first.status, second.status], [202, 202])
      assert.is(JSON.parse(first.body).job_id, JSON.parse(second.body).job_id)
      assert.equal([app.requests.length, (await used(url, key.id)).held], [1, '0.02'])
      assert.is((await chat(url, key.headers, { n: 2 })).status, 402)
      assert.equal([app.requests.length, (await used(url, key.id)).held], [1, '0.02'], 'nothing is left of the refused')
    }),
  ),
)

test(
  'of two choices that one request asks for and the budget covers one, none is left running or held',
  within(10_000, () =>
    withControl(async (context) => {
      const { url, app, watched } = context
      const key = await keyOf(context, { budget: FAKE_PRICE })
      assert.is((await chat(url, key.headers, { n: 2, messages: [{ role: 'user', content: 'slow' }] })).status, 402)
      assert.is(app.cancelled.length, app.requests.length)
      watched.settleAll()
      assert.is((await used(url, key.id)).held, '0')
    }),
  ),
)

test(
  'a job that is refused, or fails before anything was held, gives its budget back',
  within(10_000, () =>
    withControl(async (context) => {
      const { url } = context
      const key = await keyOf(context, { budget: FAKE_PRICE })
      assert.is((await chat(url, key.headers, { cfab: { max_budget: '0.001' } })).status, 402)
      assert.is((await chat(url, key.headers, { model: 'nobody' })).status, 404)
      assert.equal(await used(url, key.id), { spent: '0', held: '0', open: '0' })
      assert.is((await chat(url, key.headers)).status, 200)
      assert.equal(await used(url, key.id), { spent: '0.012345', held: '0', open: '0' })
    }),
  ),
)

test(
  'of two keys that use one nonce at once for other jobs, the one that is refused pays nothing and the other pays once',
  within(10_000, () =>
    withControl(async (context) => {
      const { url } = context
      const keys = [await keyOf(context, { budget: FAKE_PRICE }), await keyOf(context, { budget: FAKE_PRICE })]
      const replies = await Promise.all(
        keys.map(({ headers }, index) =>
          intent(url, { ...headers, 'idempotency-key': 'one nonce' }, { prompt: `job ${index}` }),
        ),
      )
      assert.equal(replies.map(({ status }) => status).sort(), [202, 409])
      for (const [index, { id }] of keys.entries()) {
        const spent = replies[index]?.status === 202 ? '0.012345' : '0'
        assert.equal(await used(url, id), { spent, held: '0', open: '0' })
      }
    }),
  ),
)

test(
  'a repeat that fails when its job is there already leaves no hold behind',
  within(10_000, () => {
    const app = createFakeApp()
    const submit: App['submit'] = async (request, signal) => {
      const handle = await app.submit(request, signal)
      if (handle.repeated) throw new FabricError('CF_STORE_QUEUE_FULL')
      return handle
    }
    return withControl(
      async (context) => {
        const key = await keyOf(context, { budget: FAKE_PRICE * 2n })
        const again = { ...key.headers, 'idempotency-key': 'once' }
        const replies = await Promise.all([intent(context.url, again), intent(context.url, again)])
        assert.equal(replies.map(({ status }) => status).sort(), [202, 503])
        assert.equal(await used(context.url, key.id), { spent: '0.012345', held: '0', open: '0' })
      },
      {},
      { app, watched: new WatchedApp({ ...app, submit }) },
    )
  }),
)

test(
  'of several spends at once with one idempotency key one counts against the budget',
  within(10_000, () => {
    const app = createFakeApp()
    const transfer: App['transfer'] = async (wish) => {
      await systemClock.sleep(5)
      return app.transfer(wish)
    }
    return withControl(
      async (context) => {
        const { url } = context
        const key = await keyOf(context, { budget: 1_000_000n })
        const spend = (idempotencyKey: string): Promise<Reply> =>
          askJson(
            `${url}/api/v1/credits/spend`,
            { owner_id: app.user, amount: '0.1', reason: 'test' },
            { ...key.headers, 'idempotency-key': idempotencyKey },
          )
        const replies = await Promise.all(['a', 'a', 'b', 'a'].map(spend))
        assert.equal(new Set(replies.map(({ body }) => JSON.parse(body).id)).size, 2)
        assert.equal(await used(url, key.id), { spent: '0.2', held: '0', open: '0' })
      },
      {},
      { app, watched: new WatchedApp({ ...app, transfer }) },
    )
  }),
)

test(
  'a spend counts against the budget once, repeated or not, and a refused one not at all',
  within(10_000, () =>
    withControl(async (context) => {
      const { url, app } = context
      const key = await keyOf(context, { budget: 2_000_000_000n })
      const spend = (amount: string, idempotencyKey: string): Promise<Reply> =>
        askJson(
          `${url}/api/v1/credits/spend`,
          { owner_id: app.user, amount, reason: 'test' },
          { ...key.headers, 'idempotency-key': idempotencyKey },
        )
      assert.is((await spend('1.5', 'a')).status, 200)
      assert.is((await spend('1.5', 'a')).status, 200)
      assert.equal(await used(url, key.id), { spent: '1.5', held: '0', open: '0' })
      assert.is((await spend('1500', 'b')).status, 402, 'the account has not as much')
      assert.is((await used(url, key.id)).spent, '1.5')
      const over = await spend('1999', 'c')
      assert.equal([over.status, errorCode(over)], [402, 'CF_CONTROL_BUDGET_EXHAUSTED'])
    }),
  ),
)

/** Runs two control planes one after the other over one app, one key file and one memory of what keys use. */
async function withRestart(
  usage: () => KeyUsage,
  before: (context: TestControl, key: Keyed) => Promise<void>,
  after: (context: TestControl, key: Keyed) => Promise<void>,
): Promise<void> {
  const [app, keys] = [createFakeApp(), keyFile()]
  const watched = new WatchedApp(app)
  watched.keepOpen()
  const key = await keyOf({ keys }, { budget: FAKE_PRICE * BigInt(AFFORDED) })
  await withControl((context) => before(context, key), {}, { app, watched, keys, usage: usage() })
  await withControl((context) => after(context, key), {}, { app, watched, keys, usage: usage() })
}

test(
  'a restart forgets neither what is held nor what was spent, and frees what never became a job',
  within(20_000, async () => {
    const database = Database.open({ path: join(tempFolder(), 'node.db') })
    const usage = createKeyUsage(database)
    await withRestart(
      () => usage,
      async ({ url }, key) => {
        for (let count = 0; count < AFFORDED - 1; count += 1) assert.is((await intent(url, key.headers)).status, 202)
        // Reserved, and then the daemon died before the ledger heard of it.
        await usage.reserve({ id: 'lost', key: key.id, amount: FAKE_PRICE, day: 19_000, nonce: 4n })
      },
      async ({ url, watched }, key) => {
        assert.equal(await used(url, key.id), { spent: '0', held: '0.18', open: String(AFFORDED - 1) })
        assert.equal([(await intent(url, key.headers)).status, (await intent(url, key.headers)).status], [202, 402])
        watched.settleAll()
        assert.equal(await used(url, key.id), { spent: '0.12345', held: '0', open: '0' })
        assert.equal(usage.holds(), [])
        const ever = usage.spent().find(({ day }) => day === null)
        await database.close()
        assert.is(ever?.amount, COST * BigInt(AFFORDED))
      },
    )
  }),
)

test(
  'a crash in the middle of a spend counts it as spent',
  within(10_000, async () => {
    const usage = new MemoryUsage()
    await withRestart(
      () => usage,
      async (_context, key) => usage.reserve({ id: 'lost', key: key.id, amount: 5_000n, day: 19_000, nonce: null }),
      async ({ url }, key) => assert.is((await used(url, key.id)).spent, '0.005'),
    )
  }),
)

test(
  'when the disk refuses the reservation the job is refused, and nothing is held',
  within(10_000, async () => {
    const usage = new MemoryUsage()
    const failing: KeyUsage = {
      holds: () => usage.holds(),
      spent: () => usage.spent(),
      settle: (hold, cost) => usage.settle(hold, cost),
      reserve: async () => {
        throw new Error('the disk is full')
      },
    }
    await withControl(
      async (context) => {
        const key = await keyOf(context, { budget: FAKE_PRICE })
        assert.is((await intent(context.url, key.headers)).status, 500)
        assert.equal([context.app.requests.length, (await used(context.url, key.id)).held], [0, '0'])
      },
      {},
      { usage: failing },
    )
  }),
)

test(
  'a client that hangs up leaves no budget behind once its job is over',
  within(10_000, () =>
    withControl(async (context) => {
      const { url, app, control } = context
      const key = await keyOf(context, { budget: FAKE_PRICE })
      const body = JSON.stringify({ model: 'cfab-tiny', messages: [{ role: 'user', content: 'slow' }] })
      const lines = [
        ...['POST /v1/chat/completions HTTP/1.1', `Host: 127.0.0.1:${control.port}`, 'Content-Type: application/json'],
        ...[`Content-Length: ${body.length}`, `Authorization: ${key.headers['authorization']}`, 'Connection: close'],
      ]
      await askRaw(control.port, `${lines.join('\r\n')}\r\n\r\n${body}`)
      while (app.cancelled.length === 0) await systemClock.sleep(5)
      const { held, open } = await used(url, key.id)
      assert.equal([held, open], ['0', '0'])
      assert.is((await intent(url, key.headers)).status, 402, 'the fake app charges for it all the same')
    }),
  ),
)

test.run()
