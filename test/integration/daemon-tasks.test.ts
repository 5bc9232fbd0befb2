/** Embeddings, completions, stop strings and samplers that nobody can replay, through the whole daemon over engines that lie on command. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { idsFromBytes } from '../../core/codec/bytes.ts'
import { FabricError } from '../../core/errors.ts'
import { vectorsIn } from '../../core/verification/vectors.ts'
import { listAt, member, textAt } from '../../node/commands/json.ts'
import { askJson } from '../support/control.ts'
import { FAKE_DIMENSIONS, hashVector } from '../support/fake-backend.ts'
import {
  assertBooks,
  chat,
  type EmbeddingOptions,
  settledJob,
  submit,
  until,
  type Wish,
  withFakeDaemon,
} from '../support/fake-daemon.ts'
import { getJson, parsed } from '../support/spawned-node.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const TEXTS = ['one two three', 'four']
const EMBEDDING: Wish = { model: 'use-lite-en', task: 'embedding', texts: TEXTS }

async function embed(url: string, wish: Wish = {}): Promise<string> {
  await until(async () => stateOf(await getJson(`${url}/api/v1/status`), 'use-lite-en').startsWith('true'))
  const answer = await askJson(`${url}/api/v1/p2p/intents`, { ...EMBEDDING, ...wish })
  assert.is(answer.status, 202, answer.body)
  return textAt(parsed(answer), 'job_id')
}

/** Whether a model is loaded, and why not. */
function stateOf(status: unknown, id: string): string {
  const model = listAt(status, 'models').find((listed) => textAt(listed, 'id') === id)
  return `${member(model, 'state') === 'ready' && member(model, 'reason') === null} ${textAt(model, 'reason')}`
}

const vectorsOf = (ids: Uint8Array | undefined): readonly Float32Array[] =>
  vectorsIn(idsFromBytes(ids ?? new Uint8Array()) ?? new Uint32Array(), TEXTS.length)

test(
  'one worker embeds: the vectors are in the receipt, which verifies offline, and the answer costs a token a text',
  within(10_000, () =>
    withFakeDaemon({}, async ({ url }) => {
      const { job, verdicts, pay, facts } = await settledJob(url, await embed(url))
      assert.equal([verdicts, pay], [['pass'], ['base+bonus']])
      assert.equal(
        [textAt(job, 'task'), textAt(job, 'outcome'), member(job, 'verifiable')],
        ['embedding', 'local', true],
      )
      assert.equal([facts.intent.task, facts.intent.maxTokens, facts.intent.promptTokens], ['embedding', 2, 4])
      assert.equal(vectorsOf(facts.output?.ids), TEXTS.map(hashVector))
      assert.is(facts.settlement.refund, 0n)
      await assertBooks(url)
    }),
  ),
)

type Lie = (honest: readonly Float32Array[]) => readonly Float32Array[]
const negated: Lie = (honest) => honest.map((vector) => vector.map((value) => -value))
const scaled: Lie = (honest) => honest.map((vector) => vector.map((value) => value * 1.1))
const LIARS: readonly (readonly [name: string, lie: Lie, verdict: string, pay: string])[] = [
  ['other texts', () => ['x', 'y'].map(hashVector), 'inconclusive', 'base'],
  ['negated vectors', negated, 'inconclusive', 'base'],
  ['vectors that are no units', scaled, 'fail', ''],
  ['vectors of nothing', (honest) => honest.map(() => new Float32Array(FAKE_DIMENSIONS)), 'fail', ''],
  ['too few vectors', (honest) => honest.slice(1), 'fail', ''],
]
for (const [name, lie, verdict, paid] of LIARS) {
  test(
    `one of three that hands in ${name} is ${verdict}, and an honest vector is the answer`,
    within(10_000, () => {
      const embedding: EmbeddingOptions = { lieOf: (honest, index) => (index === 1 ? lie(honest) : undefined) }
      return withFakeDaemon({ embedding }, async ({ url }) => {
        const { verdicts, pay, facts } = await settledJob(url, await embed(url, { replicas: 3 }))
        assert.equal([...verdicts].sort(), [verdict, 'pass', 'pass'].sort())
        assert.is(pay[verdicts.indexOf(verdict)], paid)
        assert.equal(vectorsOf(facts.output?.ids), TEXTS.map(hashVector))
        await assertBooks(url)
      })
    }),
  )
}

test(
  'a listener of an embedding job hears its vectors, a finish without tokens and the outcome, also long after',
  within(10_000, () =>
    withFakeDaemon({}, async ({ url }) => {
      const id = await embed(url, { replicas: 3 })
      for (let listener = 0; listener < 2; listener += 1) {
        const events = await (await fetch(`${url}/api/v1/p2p/jobs/${id}/events`)).text()
        const types = [...events.matchAll(/^event: (\w+)$/gm)]
          .map(([, type]) => type)
          .filter((type) => type !== 'phase')
        assert.equal(types, ['vectors', 'finish', 'outcome'])
        await settledJob(url, id)
      }
    }),
  ),
)

test(
  'a daemon that stops while vectors are computed, or has not loaded their model, finishes the job after its next start',
  within(20_000, async () => {
    const home = tempFolder()
    const id = await withFakeDaemon({ home, embedding: { stepMs: 5_000 } }, async ({ url }) => {
      const job = await embed(url, { replicas: 3 })
      await until(async () => textAt(await getJson(`${url}/api/v1/p2p/jobs/${job}`), 'phase') === 'executing')
      return job
    })
    // Its worker waits for the model, which comes later than the job.
    const loading = new Promise<void>((resolve) => setTimeout(resolve, 300))
    await withFakeDaemon({ home, embedding: { loading } }, async ({ url }) => {
      const { verdicts, facts } = await settledJob(url, id)
      assert.equal(verdicts, ['pass', 'pass', 'pass'])
      assert.equal(vectorsOf(facts.output?.ids), TEXTS.map(hashVector))
      await assertBooks(url)
    })
  }),
)

test(
  'a client that gives up on vectors never makes an honest worker fail',
  within(20_000, () =>
    withFakeDaemon({ embedding: { stepMs: 20 } }, async ({ url }) => {
      for (const waitMs of [0, 4, 8, 16, 32, 64]) {
        const id = await embed(url, { replicas: 3 })
        await new Promise((resolve) => setTimeout(resolve, waitMs))
        await fetch(`${url}/api/v1/p2p/jobs/${id}`, { method: 'DELETE' })
        const { job, verdicts } = await settledJob(url, id)
        assert.not.ok(verdicts.includes('fail'), `after ${waitMs} ms: ${verdicts.join()} ${textAt(job, 'reason')}`)
      }
      await assertBooks(url)
    }),
  ),
)

test(
  'when the embedding model cannot be loaded, chat goes on and status says why',
  within(10_000, () => {
    const loading = Promise.reject(new FabricError('CF_MODEL_OUT_OF_MEMORY'))
    loading.catch(() => undefined)
    return withFakeDaemon({ embedding: { loading } }, async ({ url }) => {
      await until(async () => stateOf(await getJson(`${url}/api/v1/status`), 'use-lite-en').endsWith('OUT_OF_MEMORY'))
      assert.is((await fetch(`${url}/readyz`)).status, 200)
      assert.is((await chat(url, {})).status, 200)
      const refused = await askJson(`${url}/api/v1/p2p/intents`, EMBEDDING)
      assert.is(textAt(parsed(refused), 'error', 'code'), 'CF_MODEL_OUT_OF_MEMORY')
      const peers = listAt(await getJson(`${url}/api/v1/p2p/peers`), 'items')
      assert.ok(peers.every((peer) => listAt(peer, 'models').join() === 'cfab-tiny'))
    })
  }),
)

test(
  'before the embedding model is there its jobs are refused for now, and those of the chat model run',
  within(10_000, () => {
    let load: () => void = () => undefined
    const loading = new Promise<void>((resolve) => {
      load = resolve
    })
    return withFakeDaemon({ embedding: { loading } }, async ({ url }) => {
      const early = await askJson(`${url}/api/v1/p2p/intents`, EMBEDDING)
      assert.is(textAt(parsed(early), 'error', 'code'), 'CF_WORKER_STARTING')
      assert.is((await chat(url, {})).status, 200)
      load()
      assert.equal((await settledJob(url, await embed(url))).verdicts, ['pass'])
      await assertBooks(url)
    })
  }),
)

test(
  'a model is asked for what it does, within what it reads, and a text at fault is named',
  within(10_000, () =>
    withFakeDaemon({}, async ({ url }) => {
      const refused = async (wish: Wish) => {
        const answer = await askJson(`${url}/api/v1/p2p/intents`, wish)
        return `${answer.status} ${textAt(parsed(answer), 'error', 'code')} ${textAt(parsed(answer), 'error', 'message')}`
      }
      await embed(url)
      assert.match(await refused({ ...EMBEDDING, model: 'cfab-tiny' }), /^400 CF_MODEL_UNSUPPORTED/)
      assert.match(await refused({ model: 'use-lite-en', prompt: 'x' }), /^400 CF_MODEL_UNSUPPORTED/)
      assert.match(await refused({ ...EMBEDDING, model: 'nobody' }), /^404 CF_MODEL_UNKNOWN/)
      const long = Array.from({ length: 129 }, () => 'word').join(' ')
      assert.match(await refused({ ...EMBEDDING, texts: ['x', long] }), /^400 CF_JOB_CONTEXT_EXCEEDED.*index 1/)
      assert.match(await refused({ ...EMBEDDING, texts: ['x', ' '] }), /^400 CF_JOB_INVALID.*index 1/)
    }),
  ),
)

test(
  'a completion goes on from its text as it is, and ends where its stop string ends',
  within(10_000, () =>
    withFakeDaemon({}, async ({ url }) => {
      const wish: Wish = { task: 'completion', prompt: 'Hello <|im_start|>', temperature: 0, replicas: 3 }
      const whole = await settledJob(url, await submit(url, wish))
      assert.equal(
        [whole.facts.intent.task, whole.facts.intent.promptTokens],
        ['completion', 'Hello <|im_start|>'.length],
      )
      const text = whole.facts.output?.text ?? ''
      const stop = text.slice(4, 7)
      const ended = await settledJob(url, await submit(url, { ...wish, stop: ['never said', stop] }))
      assert.equal(ended.verdicts, ['pass', 'pass', 'pass'])
      assert.is(ended.facts.output?.text, text.slice(0, text.indexOf(stop) + stop.length))
      assert.equal(ended.facts.intent.stop, ['never said', stop])
      assert.is(ended.facts.commitments[0]?.finishReason, 'stop')
      await assertBooks(url)
    }),
  ),
)

test(
  'a job with a sampler that nobody can replay is paid on structure alone and never called verified',
  within(10_000, () =>
    withFakeDaemon({}, async ({ url }) => {
      const { job, verdicts, facts } = await settledJob(url, await submit(url, { replicas: 3, top_p: 0.9 }))
      assert.equal(verdicts, ['pass', 'pass', 'pass'])
      assert.equal(
        facts.findings.map(({ methods }) => methods),
        [1, 1, 1],
      )
      assert.equal([facts.intent.sampling.kind, facts.intent.sampling.topPMilli], ['llama', 900])
      assert.is(facts.settlement.assurance, 'unverifiable')
      assert.equal([textAt(job, 'assurance'), member(job, 'verifiable')], ['unverifiable', false])
      await assertBooks(url)
    }),
  ),
)

test.run()
