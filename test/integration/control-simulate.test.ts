/** `POST /api/v1/p2p/simulate` over a real socket and a real thread. */
import { request as httpRequest } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Control } from '../../node/control/server.ts'
import { systemClock, systemRandom } from '../../node/runtime/system.ts'
import { SimulationPool } from '../../node/simulation/pool.ts'
import { ask, askJson, withControl } from '../support/control.ts'
import { createFakeApp } from '../support/fake-app.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 60_000
const SMALL = { peers: 5, jobs: 3, replicas: 1, model: { max_tokens: 4 } } as const
/** Runs for longer than any test waits. */
const LARGE = { peers: 500, jobs: 5_000, validators: 13, replicas: 5, seed: 1 } as const

type Server = { readonly url: string; readonly control: Control; readonly pool: SimulationPool }

async function withServer(work: (server: Server) => Promise<void>, wallMsMax = LIMIT_MS): Promise<void> {
  const pool = new SimulationPool({ wallMsMax }, { clock: systemClock, random: systemRandom })
  const app = { ...createFakeApp(), simulate: pool.simulate.bind(pool) }
  const serve = within(LIMIT_MS, () =>
    withControl(({ control, url }) => work({ url: `${url}/api/v1/p2p/simulate`, control, pool }), {}, { app }),
  )
  try {
    await serve()
  } finally {
    await pool.close()
  }
}

test('a simulation is answered with its report; the same seed gives the same bytes', () =>
  withServer(async ({ url }) => {
    const one = await askJson(url, { ...SMALL, seed: 7, detail: 'jobs', limit: 2 })
    assert.is(one.status, 200, one.body)
    const report = JSON.parse(one.body)
    assert.equal(report.violations, [])
    assert.is(report.balances.zero_sum, true)
    assert.is(report.jobs.settled, 3)
    assert.is(report.list.items.length, 2)
    assert.is(report.list.left_out, 1)
    assert.is((await askJson(url, { ...SMALL, seed: 7, detail: 'jobs', limit: 2 })).body, one.body)
  }))

test('without a seed one is drawn and reported', () =>
  withServer(async ({ url }) => {
    const { seed } = JSON.parse((await askJson(url, SMALL)).body)
    assert.ok(Number.isInteger(seed) && seed >= 0 && seed <= 0xffffffff)
  }))

test('the picture comes by its media type and by the query, and cannot run anything', () =>
  withServer(async ({ url }) => {
    const byType = await askJson(url, { ...SMALL, seed: 7 }, { accept: 'image/svg+xml' })
    const byQuery = await askJson(`${url}?format=svg`, { ...SMALL, seed: 7 })
    assert.is(byType.status, 200)
    assert.match(String(byType.headers['content-type']), /^image\/svg\+xml/)
    assert.match(String(byType.headers['content-security-policy']), /default-src 'none'/)
    assert.match(byType.body, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg"/)
    assert.is(byType.body, byQuery.body)
    assert.match(
      String((await askJson(`${url}?format=json`, SMALL, { accept: 'image/svg+xml' })).headers['content-type']),
      /json/,
    )
  }))

const REFUSED: readonly (readonly [param: string, body: object])[] = [
  ['peers', { peers: 4 }],
  ['peers', { peers: 2_001 }],
  ['peers', { peers: '100' }],
  ['validators', { validators: 3 }],
  ['validators', { validators: 14 }],
  ['jobs', { jobs: 0 }],
  ['jobs', { jobs: 5_001 }],
  ['replicas', { replicas: 6 }],
  ['users', { users: 17 }],
  ['seed', { seed: -1 }],
  ['seed', { seed: 2 ** 32 }],
  ['verify', { verify: 'never' }],
  ['faults', { faults: { crash: 0.6, liar: 0.6 } }],
  ['faults.crash', { faults: { crash: 1.1 } }],
  ['faults.crash', { faults: { crash: -0.1 } }],
  ['faults.meteor', { faults: { meteor: 1 } }],
  ['faults.byzantine_validators', { faults: { byzantine_validators: 5 } }],
  ['faults.loss', { faults: { loss: 2 } }],
  ['latency.mean_ms', { latency: { mean_ms: 5_001 } }],
  ['latency.jitter_ms', { latency: { mean_ms: 10, jitter_ms: 11 } }],
  ['arrivals_per_second', { arrivals_per_second: 0 }],
  ['model.max_tokens', { model: { max_tokens: 513 } }],
  ['model.mega_params', { model: { mega_params: 0 } }],
  ['user_budget', { user_budget: '-1' }],
  ['user_budget', { user_budget: '0' }],
  ['detail', { detail: 'all' }],
  ['limit', { limit: 1_001 }],
  ['peer', { peer: 10 }],
]

test('what is out of bounds is refused by its name, before anything runs', () =>
  withServer(async ({ url }) => {
    for (const [param, body] of REFUSED) {
      const { status, body: answer } = await askJson(url, body)
      assert.is(status, 400, JSON.stringify(body))
      assert.is(JSON.parse(answer).error.code, 'CF_CONTROL_BAD_REQUEST')
      assert.is(JSON.parse(answer).error.param, param, JSON.stringify(body))
    }
    assert.is((await askJson(`${url}?format=png`, SMALL)).status, 400)
  }))

/** Starts a simulation that would take minutes. @returns hangs up */
function startLarge(url: string): { readonly hangUp: () => void; readonly failed: Promise<void> } {
  const started = httpRequest(url, { method: 'POST', headers: { 'content-type': 'application/json' }, agent: false })
  const failed = new Promise<void>((resolve) => started.on('error', () => resolve()))
  started.end(JSON.stringify(LARGE))
  return { hangUp: () => started.destroy(), failed }
}

async function untilStatus(url: string, wanted: number): Promise<Awaited<ReturnType<typeof askJson>>> {
  for (let asked = 0; asked < 500; asked += 1) {
    const answer = await askJson(url, SMALL)
    if (answer.status === wanted) return answer
    await sleep(20)
  }
  throw new Error(`no answer had status ${wanted}`)
}

test('a second simulation is refused while one runs, other routes answer, and a client that hangs up makes room', () =>
  withServer(async ({ url, control }) => {
    const { hangUp, failed } = startLarge(url)
    const busy = await untilStatus(url, 429)
    assert.is(JSON.parse(busy.body).error.code, 'CF_CONTROL_SIMULATION_BUSY')
    assert.is(busy.headers['retry-after'], '1')
    assert.is((await ask(`${control.address}/healthz`)).status, 200)
    hangUp()
    await failed
    await untilStatus(url, 200)
  }))

test('a simulation ends at its deadline, and the next one runs', () =>
  withServer(async ({ url }) => {
    const late = await askJson(url, LARGE)
    assert.is(late.status, 504, late.body)
    assert.is(JSON.parse(late.body).error.code, 'CF_CONTROL_SIMULATION_DEADLINE')
    assert.is(late.headers['x-should-retry'], 'false')
  }, 300))

test('closing the pool stops what runs in it and refuses what comes later', async () => {
  await withServer(async ({ url, pool }) => {
    const running = askJson(url, LARGE)
    await untilStatus(url, 429)
    await pool.close()
    assert.is(JSON.parse((await running).body).error.code, 'CF_CONTROL_SHUTTING_DOWN')
    assert.is((await askJson(url, SMALL)).status, 503)
  })
})

test.run()
