/** /metrics: valid text, figures that count what happened, and labels that nobody from outside can write. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { NO_LIMITS } from '../support/access.ts'
import { ask, askJson, type TestControl, withControl } from '../support/control.ts'
import { parseMetrics, type Sample } from '../support/metrics.ts'
import { within } from '../support/within.ts'

const CHAT = { model: 'cfab-tiny', messages: [{ role: 'user', content: 'hi' }] }

async function scraped({ url }: TestControl): Promise<readonly Sample[]> {
  const { status, headers, body } = await ask(`${url}/metrics`)
  assert.equal([status, headers['content-type']], [200, 'text/plain; version=0.0.4; charset=utf-8'])
  return parseMetrics(body)
}

function figureOf(samples: readonly Sample[], name: string, labels: Readonly<Record<string, string>> = {}): number {
  const found = samples.filter(
    (sample) => sample.name === name && Object.entries(labels).every(([key, value]) => sample.labels[key] === value),
  )
  return found.reduce((sum, { value }) => sum + value, 0)
}

test(
  'requests are counted by route, status and code, and timed, streams and refusals included',
  within(10_000, () =>
    withControl(async (context) => {
      const { url } = context
      await askJson(`${url}/v1/chat/completions`, CHAT)
      await askJson(`${url}/v1/chat/completions`, { ...CHAT, stream: true })
      await askJson(`${url}/v1/chat/completions`, { ...CHAT, model: 'nobody' })
      await ask(`${url}/nowhere`, { method: 'PURGE' })
      const samples = await scraped(context)
      const count = (labels: Readonly<Record<string, string>>) => figureOf(samples, 'cfab_http_requests_total', labels)
      const route = '/v1/chat/completions'
      assert.is(count({ route, method: 'POST', status: '200', code: 'none' }), 2)
      assert.is(count({ route, status: '404', code: 'CF_MODEL_UNKNOWN' }), 1)
      assert.is(count({ route: 'none', method: 'none', status: '404', code: 'CF_CONTROL_NOT_FOUND' }), 1)
      assert.is(figureOf(samples, 'cfab_http_request_seconds_count', { route }), 3)
      assert.is(figureOf(samples, 'cfab_http_request_seconds_bucket', { route, le: '+Inf' }), 3)
      assert.ok(figureOf(samples, 'cfab_http_request_seconds_sum', { route }) > 0)
    }),
  ),
)

test(
  'jobs, tokens, refunds, slots, peers, accounts and the process are there',
  within(10_000, () =>
    withControl(async (context) => {
      const { url, watched } = context
      watched.rejected.set('vote_equivocation', 2)
      await askJson(`${url}/v1/chat/completions`, CHAT)
      await askJson(`${url}/v1/chat/completions`, { ...CHAT, messages: [{ role: 'user', content: 'fail x' }] })
      watched.keepOpen()
      await askJson(`${url}/v1/embeddings`, { model: 'use-lite-en', input: 'a' })
      const samples = await scraped(context)
      const expected: readonly (readonly [string, Readonly<Record<string, string>>, number])[] = [
        ['cfab_jobs_admitted_total', { task: 'chat' }, 2],
        ['cfab_jobs_admitted_total', { task: 'embedding' }, 1],
        ['cfab_jobs_settled_total', { outcome: 'verified' }, 1],
        ['cfab_jobs_settled_total', { outcome: 'refunded' }, 1],
        ['cfab_jobs_open', {}, 1],
        ['cfab_jobs_by_phase', { phase: 'executing' }, 1],
        ['cfab_tokens_total', { direction: 'in' }, 21],
        ['cfab_tokens_total', { direction: 'out' }, 12],
        ['cfab_job_credits_total', { to: 'workers' }, 0.012345],
        ['cfab_job_credits_total', { to: 'refunds' }, 0.027655],
        ['cfab_slots', {}, 8],
        ['cfab_slots_busy', {}, 1],
        ['cfab_peers', { state: 'alive' }, 1],
        ['cfab_peers', { state: 'dead' }, 0],
        ['cfab_host_state', { state: 'ready' }, 1],
        ['cfab_host_state', { state: 'failed' }, 0],
        ['cfab_rejects_total', { reason: 'vote_equivocation' }, 2],
        ['cfab_mesh_links', { direction: 'dialled' }, 3],
        ['cfab_mesh', { what: 'graylisted' }, 7],
        ['cfab_account_credits', { account: 'user', state: 'spendable' }, 1000.5],
        ['cfab_engine_steps_total', { model: 'cfab-tiny', driver: 'native' }, 40],
        ['cfab_engine_step_seconds_total', { model: 'cfab-tiny' }, 1.5],
        ['cfab_engine_tokens_decoded_total', { model: 'cfab-tiny' }, 320],
        ['cfab_engine_tokens_prefilled_total', { model: 'cfab-tiny' }, 700],
        ['cfab_engine_tokens_cached_total', { model: 'cfab-tiny' }, 60],
        ['cfab_engine_slots_busy', { model: 'cfab-tiny' }, 1],
        ['cfab_engine_jobs_waiting', { model: 'cfab-tiny' }, 2],
        ['cfab_model_loads_total', { model: 'cfab-tiny' }, 1],
        ['cfab_model_unloads_total', { model: 'cfab-tiny' }, 0],
        ['cfab_host_restarts_total', { model: 'cfab-tiny' }, 3],
        ['cfab_host_resident_bytes', { model: 'cfab-tiny' }, 250_000_000],
        ['cfab_build_info', { version: '0.1.0' }, 1],
      ]
      for (const [name, labels, value] of expected)
        assert.ok(Math.abs(figureOf(samples, name, labels) - value) < 1e-9, `${name} ${JSON.stringify(labels)}`)
      for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'process_start_time_seconds'])
        assert.ok(figureOf(samples, name) > 0, name)
      assert.ok(samples.some(({ name }) => name === 'nodejs_eventloop_lag_seconds'))
      const again = await scraped(context)
      assert.is(figureOf(again, 'cfab_rejects_total'), 2, 'read again, not added')
      assert.is(figureOf(again, 'cfab_jobs_settled_total'), 2, 'each job once')
    }),
  ),
)

test(
  'nothing that a client sends becomes a label, and no id does',
  within(10_000, () =>
    withControl(async (context) => {
      const { url, app } = context
      const first = await scraped(context)
      await ask(`${url}/v1/models/evil-model`)
      await ask(`${url}/evil-path?evil=1`, { headers: { 'x-evil': 'evil', 'user-agent': 'evil' } })
      await ask(`${url}/api/v1/p2p/jobs/${'e'.repeat(64)}`)
      await askJson(`${url}/v1/chat/completions`, { ...CHAT, model: 'evil', evil: 1 })
      await askJson(`${url}/api/v1/credits/spend`, { owner_id: app.node, amount: '1', reason: 'evil' })
      const text = (await ask(`${url}/metrics`)).body
      assert.not.match(text, /evil|cf1|[0-9a-f]{32}/)
      const series = (samples: readonly Sample[]) => new Set(samples.map(({ labels }) => labels['route']))
      const routes = [...series(parseMetrics(text))].filter((route) => route !== undefined && route !== 'none')
      assert.ok(routes.every((route) => context.control.routes.some((known) => known.endsWith(` ${route}`))))
      for (let index = 0; index < 50; index += 1) await ask(`${url}/v1/models/m${index}`)
      const grown = (await scraped(context)).length - first.length
      assert.ok(grown < 200, `${grown} series more`)
    }),
  ),
)

test(
  'figures need the role read, and can be switched off',
  within(10_000, async () => {
    await withControl(
      async ({ control, keys }) => {
        const { text } = await keys.add({ ...NO_LIMITS, name: 'prometheus', role: 'read' })
        const url = `http://127.0.0.1:${control.port}/metrics`
        assert.is((await ask(url)).status, 401)
        assert.is((await ask(url, { headers: { authorization: `Bearer ${text}` } })).status, 200)
      },
      { host: '0.0.0.0', apiKey: 'the-api-key' },
    )
    await withControl(async ({ url }) => assert.is((await ask(`${url}/metrics`)).status, 404), { metrics: false })
  }),
)

test('a text that is not in the format is refused by this test', () => {
  const good = '# HELP a b\n# TYPE a counter\na{x="1"} 2\n'
  assert.equal(parseMetrics(good), [{ name: 'a', labels: { x: '1' }, value: 2 }])
  for (const bad of [
    'a 1\n',
    `${good}a{x="1"} 3\n`,
    '# TYPE a counter\na{x=1} 2\n',
    '# TYPE a counter\na x\n',
    good.trim(),
  ]) {
    let fault: unknown
    try {
      parseMetrics(bad)
    } catch (error) {
      fault = error
    }
    assert.ok(fault !== undefined, JSON.stringify(bad))
  }
})

test.run()
