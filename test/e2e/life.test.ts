/** A daemon's life: started, interrupted, deprived of its engine, killed, started again; its clients lose nothing that they were promised. */
import { request } from 'node:http'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { textAt } from '../../node/commands/json.ts'
import { Book } from '../crash/book.ts'
import { checkEnd } from '../crash/check.ts'
import { applyLoad, loadTarget } from '../crash/load.ts'
import { ask, askJson, type Reply } from '../support/control.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { childrenOf, getJson, isAlive, ready, type SpawnedNode, startNode, withNode } from '../support/spawned-node.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

/** Hot and long: runs for about a second, so that something can happen in the middle. */
const LONG = { model: 'cfab-tiny', temperature: 2, max_tokens: 900 }
const STORY = [{ role: 'user', content: 'Tell me a long story.' }]

const STRIKES_MAX = 10

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

async function until(what: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await what())) await pause(10)
}

async function openJobs(node: SpawnedNode): Promise<number> {
  return Number(textAt(await getJson(`${node.address}/api/v1/status`), 'jobs', 'open'))
}

function capital(node: SpawnedNode): Promise<Reply> {
  const messages = [{ role: 'user', content: 'What is the capital of France?' }]
  return askJson(`${node.address}/v1/chat/completions`, { model: 'cfab-tiny', messages, temperature: 0 })
}

async function assertAnswers(node: SpawnedNode): Promise<void> {
  const answer = await capital(node)
  assert.is(answer.status, 200, answer.body)
  assert.match(answer.body, 'The capital of France is Paris.')
}

type Stream = { readonly job: string; readonly body: Promise<string>; hangUp(): void }

/** Opens a long streamed chat and resolves when its first tokens are there. */
function openStream(node: SpawnedNode): Promise<Stream> {
  return new Promise((resolve, reject) => {
    const headers = { 'content-type': 'application/json' }
    const url = `${node.address}/v1/chat/completions`
    const sent = request(url, { method: 'POST', headers, agent: false }, (response) => {
      let body = ''
      const ended = new Promise<string>((end) => response.once('close', () => end(body)))
      response.on('error', () => undefined)
      response.on('data', (part: Buffer) => {
        body += part.toString()
        const job = String(response.headers['x-cfab-job'])
        resolve({ job, body: ended, hangUp: () => response.destroy() })
      })
    })
    sent.on('error', reject)
    sent.end(JSON.stringify({ ...LONG, messages: STORY, stream: true }))
  })
}

/** Each has a host of its own. */
const MODELS = 2

function lastEvent(body: string): unknown {
  const events = body.split('\n\n').filter((event) => event.startsWith('data: {'))
  return JSON.parse(events.at(-1)?.slice('data: '.length) ?? 'null')
}

/** A short answer may be over before the blow falls: then it is struck again, and only what hit is looked at. */
async function struckMidStream<T>(
  strike: () => Promise<{ readonly body: string; readonly struck: T }>,
): Promise<{ code: string; struck: T }> {
  for (let times = 0; times < STRIKES_MAX; times += 1) {
    const { body, struck } = await strike()
    const code = textAt(lastEvent(body), 'error', 'code')
    if (code !== '-') return { code, struck }
  }
  throw new Error('every stream was over too soon')
}

async function assertBooks(node: SpawnedNode): Promise<void> {
  await until(async () => (await openJobs(node)) === 0)
  const audit = JSON.stringify(await getJson(`${node.address}/api/v1/credits/audit`))
  assert.match(audit, '"zero_sum":true')
  assert.match(audit, '"replay_matches":true')
  assert.match(audit, '"open_holds":0')
}

test(
  'SIGTERM in the middle of a stream ends it with a code and the daemon with status 0, leaving no process behind',
  within(30_000, async () => {
    const home = tempFolder()
    const { code, struck: stopped } = await struckMidStream(async () => {
      const node = await startNode(home)
      await ready(node)
      await until(() => childrenOf(node.pid).length === MODELS)
      const hosts = childrenOf(node.pid)
      const stream = await openStream(node)
      const startedMs = performance.now()
      const ended = await node.stop()
      assert.equal(ended, { code: 0, signal: null }, node.err())
      assert.ok(performance.now() - startedMs < 5_000, 'it does not wait for the job')
      await until(() => !hosts.some(isAlive))
      return { body: await stream.body, struck: stream.job }
    })
    assert.is(code, 'CF_CONTROL_SHUTTING_DOWN')
    await withNode(home, async (next) => {
      await until(async () => (await openJobs(next)) === 0)
      const job = await getJson(`${next.address}/api/v1/p2p/jobs/${stopped}`)
      assert.is(textAt(job, 'phase'), 'settled', 'the next daemon finishes what this one left')
      await assertBooks(next)
    })
  }),
)

test(
  'a compute host that is killed in the middle of a stream costs that job and nothing else',
  within(30_000, () =>
    withNode(tempFolder(), async (node) => {
      const { code, struck } = await struckMidStream(async () => {
        await until(async () => (await capital(node)).status === 200)
        const stream = await openStream(node)
        const hosts = childrenOf(node.pid)
        for (const host of hosts) process.kill(host, 'SIGKILL')
        return { body: await stream.body, struck: { id: stream.job, hosts } }
      })
      assert.ok(['CF_WORKER_HOST_LOST', 'CF_JOB_FAILED'].includes(code), code)
      await until(
        async () => textAt(await getJson(`${node.address}/api/v1/p2p/jobs/${struck.id}`), 'phase') === 'settled',
      )
      const job = await getJson(`${node.address}/api/v1/p2p/jobs/${struck.id}`)
      assert.is(textAt(job, 'refund'), textAt(job, 'hold'))
      await assertAnswers(node)
      assert.not.ok(childrenOf(node.pid).some((host) => struck.hosts.includes(host)))
      await assertBooks(node)
    }),
  ),
)

test(
  'a client that hangs up in the middle leaves a settled job and a free slot',
  within(30_000, () =>
    withNode(
      tempFolder(),
      async (node) => {
        const stream = await openStream(node)
        stream.hangUp()
        await until(async () => (await openJobs(node)) === 0)
        const job = await getJson(`${node.address}/api/v1/p2p/jobs/${stream.job}`)
        assert.is(textAt(job, 'phase'), 'settled')
        assert.ok(Number(textAt(job, 'replicas', 0, 'tokens')) < LONG.max_tokens)
        await assertAnswers(node)
        await assertBooks(node)
      },
      ...['--slots', '1'],
    ),
  ),
)

test(
  'a daemon that is killed starts again within seconds, with its swarm, its balance and its jobs',
  within(60_000, async () => {
    const home = tempFolder()
    const node = await startNode(home)
    await ready(node)
    await assertAnswers(node)
    await until(async () => (await openJobs(node)) === 0)
    const before = await getJson(`${node.address}/api/v1/status`)
    const jobs = (await ask(`${node.address}/api/v1/p2p/jobs`)).body
    const hosts = childrenOf(node.pid)
    node.kill('SIGKILL')
    assert.is((await node.exited).signal, 'SIGKILL')
    await until(() => !hosts.some(isAlive))
    const startedMs = performance.now()
    await withNode(home, async (next) => {
      const startMs = performance.now() - startedMs
      assert.ok(startMs < 10_000, `the second start took ${Math.round(startMs)} ms`)
      const after = await getJson(`${next.address}/api/v1/status`)
      for (const fact of ['swarm', 'node', 'user']) assert.is(textAt(after, fact), textAt(before, fact))
      assert.is(textAt(after, 'credits', 'spendable'), textAt(before, 'credits', 'spendable'))
      assert.is((await ask(`${next.address}/api/v1/p2p/jobs`)).body, jobs)
      await assertAnswers(next)
      await assertBooks(next)
    })
  }),
)

test(
  'while the model loads the daemon says so, with a code that clients repeat',
  within(30_000, async () => {
    const node = await startNode(tempFolder())
    try {
      const answer = await capital(node)
      if (answer.status !== 200) {
        assert.is(answer.status, 503, answer.body)
        assert.is(textAt(JSON.parse(answer.body), 'error', 'code'), 'CF_WORKER_STARTING')
        assert.is(answer.headers['retry-after'], '1')
      }
      await ready(node)
      await assertAnswers(node)
    } finally {
      await node.stop()
    }
  }),
)

test(
  'SIGTERM while the model loads ends the daemon with status 0',
  within(30_000, async () => {
    const node = await startNode(tempFolder())
    assert.equal(await node.stop(), { code: 0, signal: null }, node.err())
  }),
)

test(
  'SIGTERM under load ends the daemon with status 0 whenever it comes, and what was promised is there afterwards',
  within(60_000, async () => {
    const home = tempFolder()
    const book = new Book()
    const random = seededRandom(testSeed())
    for (let life = 0; life < 4; life += 1) {
      const node = await startNode(home)
      await ready(node)
      const gone = new AbortController()
      void node.exited.then(() => gone.abort())
      const load = applyLoad(await loadTarget(node.address, home), book, random, gone.signal)
      await pause(random.below(600))
      assert.equal(await node.stop(), { code: 0, signal: null }, node.err())
      await load
    }
    await withNode(home, async (node) => {
      await assertBooks(node)
      await checkEnd(node.address, textAt(await getJson(`${node.address}/api/v1/status`), 'swarm'), book)
      assert.equal(book.violations, [])
      assert.ok(book.promised.size > 0)
    })
  }),
)

test.run()
