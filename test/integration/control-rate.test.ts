/** Rates, open jobs and priorities of API keys over HTTP; and the ways around them that do not exist. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { member } from '../../node/commands/json.ts'
import { keyFile } from '../support/access.ts'
import { ask, askRaw, type Reply, withControl } from '../support/control.ts'
import { chat, errorCode, intent, type Keyed, keyOf } from '../support/keyed.ts'
import { manualClock } from '../support/manual-clock.ts'
import { within } from '../support/within.ts'

test(
  'a key has its burst at once, then 429 with the time until the next token, and the headers that OpenAI clients read',
  within(5_000, async () => {
    const clock = manualClock(1_700_000_000_000)
    await withControl(
      async (context) => {
        const { url } = context
        const { headers } = await keyOf(context, { ratePerMinute: 6, burst: 2 })
        const models = (): Promise<Reply> => ask(`${url}/v1/models`, { headers })
        const first = await models()
        assert.equal(
          ['limit', 'remaining', 'reset'].map((name) => first.headers[`x-ratelimit-${name}-requests`]),
          ['6', '1', '10s'],
        )
        assert.is((await models()).status, 200)
        const refused = await models()
        assert.equal([refused.status, errorCode(refused)], [429, 'CF_CONTROL_RATE_LIMITED'])
        assert.is(refused.headers['retry-after'], '10')
        assert.is(refused.headers['x-ratelimit-remaining-requests'], '0')
        assert.is(refused.headers['x-ratelimit-reset-requests'], '20s')
        await clock.advance(9_999)
        assert.is((await models()).headers['retry-after'], '1')
        await clock.advance(1)
        assert.equal([(await models()).status, (await models()).status], [200, 429])
      },
      {},
      { clock, keys: keyFile(undefined, clock) },
    )
  }),
)

test(
  'neither HEAD, OPTIONS, nowhere, a refused role, a repeat nor a hang-up is a request for free',
  within(10_000, () =>
    withControl(async (context) => {
      const { url, control } = context
      const { headers } = await keyOf(context, { ratePerMinute: 1, burst: 8, role: 'read' })
      const remaining = (reply: Reply): unknown => reply.headers['x-ratelimit-remaining-requests']
      assert.is(remaining(await ask(`${url}/v1/models`, { method: 'HEAD', headers })), '7')
      assert.is(remaining(await ask(`${url}/v1/models`, { method: 'OPTIONS', headers })), '6')
      assert.is(remaining(await ask(`${url}/nowhere`, { headers })), '5')
      assert.equal([(await chat(url, headers)).status, remaining(await chat(url, headers))], [403, '3'])
      const lines = [
        'GET /v1/models HTTP/1.1',
        `Host: 127.0.0.1:${control.port}`,
        `Authorization: ${headers['authorization']}`,
      ]
      await askRaw(control.port, `${lines.join('\r\n')}\r\n\r\n`)
      assert.is(remaining(await ask(`${url}/v1/models`, { headers })), '1')

      const { headers: user } = await keyOf(context, { ratePerMinute: 1, burst: 3 })
      const again = { ...user, 'idempotency-key': 'once' }
      assert.is(remaining(await intent(url, again)), '2')
      assert.is(remaining(await intent(url, again)), '1')
      assert.is((await intent(url, again)).status, 202)
      assert.is((await intent(url, again)).status, 429)
    }),
  ),
)

test(
  'one key that is at its limit takes nothing from another, and a node may give keys a rate',
  within(5_000, () =>
    withControl(
      async (context) => {
        const [a, b] = [await keyOf(context, {}), await keyOf(context, { ratePerMinute: 100 })]
        assert.is((await ask(`${context.url}/v1/models`, { headers: a.headers })).status, 200)
        assert.is((await ask(`${context.url}/v1/models`, { headers: a.headers })).status, 429)
        assert.is((await ask(`${context.url}/v1/models`, { headers: b.headers })).status, 200)
        assert.is((await ask(`${context.url}/v1/models`)).headers['x-ratelimit-limit-requests'], undefined)
      },
      { keyRate: 1 },
    ),
  ),
)

test(
  'a key may have so many jobs open and no more, however many it asks for at once',
  within(10_000, () =>
    withControl(async (context) => {
      const { url, watched } = context
      watched.keepOpen()
      const [few, others] = [await keyOf(context, { openJobsMax: 3 }), await keyOf(context, {})]
      const replies = await Promise.all(Array.from({ length: 12 }, () => intent(url, few.headers)))
      assert.is(replies.filter(({ status }) => status === 202).length, 3)
      const refused = replies.find(({ status }) => status === 429)
      assert.ok(refused !== undefined)
      assert.equal([errorCode(refused), refused.headers['retry-after']], ['CF_JOB_QUEUE_FULL', '1'])
      assert.is((await intent(url, others.headers)).status, 202, 'another key has its own bound')
      watched.settleAll()
      assert.is((await intent(url, few.headers)).status, 202)
    }),
  ),
)

test(
  'as the node fills up, low priority is refused first and high last',
  within(10_000, () =>
    withControl(
      async (context) => {
        const { url, watched } = context
        watched.keepOpen()
        const low = await keyOf(context, { priority: 'low' })
        const normal = await keyOf(context, { priority: 'normal' })
        const high = await keyOf(context, { priority: 'high' })
        const taken = async ({ headers }: Keyed): Promise<number> => {
          const replies = await Promise.all(Array.from({ length: 20 }, () => intent(url, headers)))
          return replies.filter(({ status }) => status === 202).length
        }
        assert.equal([await taken(low), await taken(normal), await taken(high)], [5, 4, 1])
        const status = JSON.parse((await ask(`${url}/api/v1/status`)).body)
        assert.equal(member(status, 'admission'), { open_jobs: 10, open_jobs_max: { low: 5, normal: 9, high: 10 } })
      },
      { openJobsMax: 10 },
    ),
  ),
)

test(
  'every 429 and 503 says when to come back',
  within(10_000, () =>
    withControl(
      async (context) => {
        const { url, app, watched } = context
        watched.keepOpen()
        const key = await keyOf(context, { openJobsMax: 1 })
        await intent(url, key.headers)
        app.setReady(false)
        const replies = [await intent(url, key.headers), await ask(`${url}/readyz`)]
        assert.equal(
          replies.map(({ status, headers }) => [status, headers['retry-after']]),
          [
            [429, '1'],
            [503, '1'],
          ],
        )
      },
      { openJobsPerKey: 1 },
    ),
  ),
)

test.run()
