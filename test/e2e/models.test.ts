/** Several models in one spawned node: each comes when it is asked for, goes when there is no room, and dies alone. */
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { listAt, textAt } from '../../node/commands/json.ts'
import { ask, askJson, type Reply } from '../support/control.ts'
import { hasNativeEngine } from '../support/drivers.ts'
import { assertBooks, settledJob, until } from '../support/fake-daemon.ts'
import { parseMetrics } from '../support/metrics.ts'
import { missing } from '../support/missing.ts'
import {
  assertAnswers,
  COARSE,
  capital,
  homeWith,
  install,
  models,
  resident,
  running,
  SMALL,
} from '../support/pool-node.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { childrenOf, getJson, parsed, ready, type SpawnedNode, startNode, withNode } from '../support/spawned-node.ts'
import { within } from '../support/within.ts'

const TINY = 'cfab-tiny'
const ONE_CHAT = ['--embedding-model', 'none', '--threads', '1'] as const
/** The tokens that would end it are forbidden: it still runs when something happens to it. */
const LONG = { max_tokens: 900, logit_bias: { 2: -100, 4: -100 } }

async function figure(node: SpawnedNode, name: string, model: string): Promise<number> {
  const samples = parseMetrics((await ask(`${node.address}/metrics`)).body)
  return samples.find((sample) => sample.name === name && sample.labels['model'] === model)?.value ?? 0
}

function unload(home: string, node: SpawnedNode, model: string): Promise<Reply> {
  const authorization = `Bearer ${readFileSync(join(home, 'data', 'admin.key'), 'utf8').trim()}`
  return askJson(`${node.address}/api/v1/models/unload`, { model }, { authorization })
}

async function submitted(node: SpawnedNode, model: string): Promise<string> {
  const wish = { model, prompt: 'Tell me a long story.', ...LONG }
  const answer = await askJson(`${node.address}/api/v1/p2p/intents`, wish)
  assert.is(answer.status, 202, answer.body)
  return textAt(parsed(answer), 'job_id')
}

/** More than have a slot. */
const JOBS = 12

/** Waits for a job to settle, and checks its money. @returns how it ended */
async function ended(node: SpawnedNode, id: string): Promise<string> {
  const job = async () => textAt(await getJson(`${node.address}/api/v1/p2p/jobs/${id}`), 'phase')
  await until(async () => (await job()) === 'settled', 60_000)
  return textAt((await settledJob(node.address, id)).job, 'reason')
}

test(
  'two models answer in one node; many first requests cause one load; what is pulled meanwhile can be asked for',
  within(90_000, async () => {
    const home = await homeWith(COARSE)
    await withNode(
      home,
      async (node) => {
        const listed = async () =>
          listAt(await getJson(`${node.address}/v1/models`), 'data').map(
            (model) => `${textAt(model, 'id')} ${textAt(model, 'cfab', 'loaded')}`,
          )
        assert.equal(await listed(), [`${TINY} true`, 'use-lite-en false', `${COARSE} false`])
        const answers = await Promise.all(Array.from({ length: 8 }, () => capital(node, COARSE)))
        assert.equal([...new Set(answers.map(({ status }) => status))], [200])
        assert.is(await figure(node, 'cfab_model_loads_total', COARSE), 1)
        await assertAnswers(node, TINY)
        await install(home, SMALL)
        await until(async () => (await listed()).includes(`${SMALL} false`))
        await assertAnswers(node, SMALL)
        assert.equal(await resident(node), [TINY, COARSE, SMALL])
        const embedded = await askJson(`${node.address}/v1/embeddings`, { model: 'use-lite-en', input: 'a red fox' })
        assert.is(embedded.status, 200, embedded.body)
        assert.is((await capital(node, 'nobody')).status, 404)
        await assertBooks(node.address)
      },
      ...ONE_CHAT,
    )
  }),
)

test(
  'with room for two, three models are answered one after the other, and the one of the start stays',
  within(90_000, async () => {
    const home = await homeWith(COARSE, SMALL)
    await withNode(
      home,
      async (node) => {
        for (const id of [COARSE, SMALL, COARSE, TINY, SMALL]) {
          await assertAnswers(node, id)
          assert.equal(await resident(node), [...new Set([TINY, id === TINY ? COARSE : id])].sort())
        }
        assert.is(await figure(node, 'cfab_model_unloads_total', COARSE), 2)
        assert.is(await figure(node, 'cfab_model_unloads_total', TINY), 0)
        await until(() => childrenOf(node.pid).length === 2)
        await assertBooks(node.address)
      },
      ...ONE_CHAT,
      '--models-max',
      '2',
    )
  }),
)

test(
  'models ps, load and unload say and do what they should; what has jobs is not unloaded',
  within(90_000, async () => {
    const home = await homeWith(COARSE)
    await withNode(
      home,
      async (node) => {
        assert.is((await models(home, node, 'load', COARSE, '--keep-alive', 'forever')).status, 0)
        const shown = await models(home, node, 'ps')
        assert.match(shown.out, /cfab-tiny-q4_0 +ready +1\.6 MB +[\d.]+ MB +(?:native|lockstep) +0\/8 +0 +0 /)
        assert.match(shown.out, /cfab-tiny +ready .* pinned +llama\.cpp/)
        const ids = await Promise.all(Array.from({ length: JOBS }, () => submitted(node, COARSE)))
        const refused = await unload(home, node, COARSE)
        assert.equal([refused.status, textAt(parsed(refused), 'error', 'code')], [409, 'CF_MODEL_IN_USE'])
        assert.ok(Number(textAt((await running(node)).get(COARSE), 'slots_busy')) > 0)
        for (const id of ids) await ended(node, id)
        assert.is((await models(home, node, 'unload', COARSE)).status, 0)
        assert.equal(await resident(node), [TINY])
        const unknown = await models(home, node, 'load', 'nobody')
        assert.is(unknown.status, 66, unknown.err)
        await assertBooks(node.address)
      },
      ...ONE_CHAT,
    )
  }),
)

test(
  'a model goes when nobody asks for it any more, and its next load is not its first',
  within(60_000, async () => {
    const home = await homeWith(COARSE)
    await withNode(
      home,
      async (node) => {
        await assertAnswers(node, COARSE)
        await until(async () => (await figure(node, 'cfab_model_unloads_total', COARSE)) === 1)
        assert.equal(await resident(node), [TINY])
        await assertAnswers(node, COARSE)
        assert.is(await figure(node, 'cfab_model_loads_total', COARSE), 2)
        await assertBooks(node.address)
      },
      ...ONE_CHAT,
      '--keep-alive',
      '1s',
    )
  }),
)

test(
  'the host of one model that crashes takes no answer of another with it, and is back within seconds',
  within(120_000, async () => {
    const home = await homeWith(COARSE)
    const random = seededRandom(testSeed())
    await withNode(
      home,
      async (node) => {
        const [tinyHost = missing()] = childrenOf(node.pid)
        await assertAnswers(node, COARSE)
        const backMs: number[] = []
        for (const signal of ['SIGSEGV', 'SIGABRT', 'SIGKILL', 'SIGSEGV'] as const) {
          const host = childrenOf(node.pid).find((pid) => pid !== tinyHost) ?? missing()
          const [struck, spared] = [await submitted(node, COARSE), await submitted(node, TINY)]
          await new Promise((resolve) => setTimeout(resolve, random.below(60)))
          process.kill(host, signal)
          const startedMs = performance.now()
          await assertAnswersSoon(node, COARSE)
          backMs.push(Math.round(performance.now() - startedMs))
          const lost = await ended(node, struck)
          assert.ok(['paid', 'all_replicas_lost'].includes(lost), lost)
          assert.is(await ended(node, spared), 'paid')
        }
        console.log(`back after ${backMs.join(', ')} ms`)
        assert.ok(Math.max(...backMs) < 3_000, 'an answer within three seconds')
        assert.ok(childrenOf(node.pid).includes(tinyHost))
        assert.is(await figure(node, 'cfab_host_restarts_total', COARSE), 4)
        await assertBooks(node.address)
      },
      ...ONE_CHAT,
    )
  }),
)

/** What runs on the host when it dies is lost with a code; what comes next waits for the new one. */
async function assertAnswersSoon(node: SpawnedNode, model: string): Promise<void> {
  for (;;) {
    const answer = await capital(node, model)
    if (answer.status === 200) return
    assert.is(textAt(parsed(answer), 'error', 'code'), 'CF_WORKER_HOST_LOST', answer.body)
  }
}

/** Kills the node while jobs of the model are open. @returns all the jobs */
async function crashedWithJobs(home: string, model: string): Promise<readonly string[]> {
  const node = await startNode(home, ...ONE_CHAT)
  try {
    await ready(node)
    await assertAnswers(node, model)
    const ids = await Promise.all(Array.from({ length: JOBS }, () => submitted(node, model)))
    return ids
  } finally {
    node.kill('SIGKILL')
    await node.exited
  }
}

test(
  'jobs that a crash of the node has left are finished, also when their model is not one of the start',
  within(90_000, async () => {
    const home = await homeWith(COARSE)
    const ids = await crashedWithJobs(home, COARSE)
    await withNode(
      home,
      async (node) => {
        await until(async () => (await resident(node)).includes(COARSE))
        const reasons = new Set<string>()
        for (const id of ids) reasons.add(await ended(node, id))
        assert.equal([...reasons], ['paid'])
        assert.equal(await resident(node), [TINY, COARSE])
        await assertBooks(node.address)
      },
      ...ONE_CHAT,
    )
  }),
)

test(
  'a prompt that begins like an earlier one is not read again, unless its job is one that others can check',
  within(60_000, async () => {
    if (!hasNativeEngine()) return
    await withNode(
      await homeWith(),
      async (node) => {
        const content = 'Tell me a story about a fox who lived by the sea. '.repeat(8)
        const cached = () => figure(node, 'cfab_engine_tokens_cached_total', TINY)
        const say = async (more: object): Promise<void> => {
          const body = { model: TINY, messages: [{ role: 'user', content }], max_tokens: 8, ...more }
          assert.is((await askJson(`${node.address}/v1/chat/completions`, body)).status, 200)
        }
        for (const _ of [1, 2]) await say({})
        assert.is(await cached(), 0)
        await say({ top_p: 0.9 })
        assert.is(await cached(), 0)
        await say({ top_p: 0.8 })
        assert.ok((await cached()) > 64, `${await cached()} tokens`)
        const before = await cached()
        await say({})
        assert.is(await cached(), before)
        await assertBooks(node.address)
      },
      ...ONE_CHAT,
      '--prefix-cache',
      '4',
    )
  }),
)

test(
  'a model that does not fit beside the others is refused with a code, and so is one whose file is gone',
  within(60_000, async () => {
    const home = await homeWith(COARSE, SMALL)
    await withNode(
      home,
      async (node) => {
        const codeFor = async (model: string): Promise<string> =>
          textAt(parsed(await capital(node, model)), 'error', 'code')
        assert.is(await codeFor(COARSE), 'CF_MODEL_OUT_OF_MEMORY')
        rmSync(join(home, 'data', 'models', `${SMALL}.json`))
        await until(async () => (await codeFor(SMALL)) === 'CF_MODEL_UNKNOWN')
        await assertAnswers(node, TINY)
        await assertBooks(node.address)
      },
      ...ONE_CHAT,
      '--memory-max',
      '300MiB',
    )
  }),
)

test.run()
