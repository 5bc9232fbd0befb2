/** `/v1/embeddings` as the official client sees it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../core/errors.ts'
import { ask, askJson, withControl } from '../support/control.ts'
import { FAKE_DIMENSIONS, fakeVector } from '../support/fake-jobs.ts'
import { apiErrorOf, cfabOf, clientOf } from '../support/openai-client.ts'
import { within } from '../support/within.ts'

const MODEL = 'use-lite-en'

test(
  'floats, and the base64 that the client asks for by itself, are the same vector to the bit',
  within(5_000, () =>
    withControl(async (context) => {
      const client = clientOf(context)
      const expected = Array.from(fakeVector('hello'))
      const asked = await client.embeddings.create({ model: MODEL, input: 'hello' })
      const floats = await client.embeddings.create({ model: MODEL, input: 'hello', encoding_format: 'float' })
      assert.equal(Array.from(asked.data[0]?.embedding ?? []), expected)
      assert.equal(floats.data[0]?.embedding, expected)
      assert.equal([floats.model, floats.usage], [MODEL, { prompt_tokens: 7, total_tokens: 7 }])
      assert.is(Object(cfabOf(floats)).outcome, 'verified')
      const plain = await client.embeddings.create({ model: MODEL, input: 'hello', encoding_format: 'base64' })
      const bytes = Buffer.from(plain.data[0]?.embedding ?? '', 'base64')
      assert.is(bytes.length, 4 * FAKE_DIMENSIONS)
      assert.is(bytes.readFloatLE(4), expected[1])
      const [job] = context.app.requests
      assert.equal([job?.verify, job?.temperatureMilli, job?.topK], ['before', 0, 1])
    }),
  ),
)

test(
  'more inputs than one job takes become several jobs and one list in order',
  within(5_000, () =>
    withControl(async (context) => {
      const input = Array.from({ length: 150 }, (_, index) => `text ${index}`)
      const answer = await clientOf(context).embeddings.create({ model: MODEL, input, user: 'someone' })
      assert.equal(
        answer.data.map(({ index }) => index),
        input.map((_, index) => index),
      )
      for (const at of [0, 63, 64, 127, 128, 149])
        assert.equal(Array.from(answer.data[at]?.embedding ?? []), Array.from(fakeVector(`text ${at}`)), `input ${at}`)
      assert.equal(answer.usage, { prompt_tokens: 21, total_tokens: 21 })
      const jobs: readonly { job_id: string }[] = Object(cfabOf(answer)).jobs
      assert.is(new Set(jobs.map(({ job_id: id }) => id)).size, 3)
    }),
  ),
)

test(
  'the extension works, and a repeated key is the same jobs',
  within(5_000, () =>
    withControl(async ({ app, url }) => {
      const input = Array.from({ length: 65 }, (_, index) => `text ${index}`)
      const body = { model: MODEL, input, cfab: { replicas: 3, verify: 'before', max_budget: '1', region: 'local' } }
      const post = () => askJson(`${url}/v1/embeddings`, body, { 'idempotency-key': 'vectors' })
      const [first, again] = [await post(), await post()]
      assert.equal(again.headers['x-cfab-job'], first.headers['x-cfab-job'])
      assert.equal(
        app.requests.map(({ replicas, maxBudget, region }) => [replicas, maxBudget, region]),
        [0, 1].map(() => [3, 1_000_000n, 'local']),
      )
    }),
  ),
)

test(
  'what cannot be embedded is refused where it stands',
  within(8_000, () =>
    withControl(async (context) => {
      const texts = (count: number) => Array.from({ length: count }, () => 'x')
      const cases: readonly (readonly [body: object, code: string, param: string])[] = [
        [{ input: '' }, 'CF_CONTROL_BAD_REQUEST', 'input'],
        [{ input: null }, 'CF_CONTROL_BAD_REQUEST', 'input'],
        [{ input: [] }, 'CF_CONTROL_BAD_REQUEST', 'input'],
        [{ input: ['x', ''] }, 'CF_CONTROL_BAD_REQUEST', 'input[1]'],
        [{ input: texts(257) }, 'CF_CONTROL_BAD_REQUEST', 'input'],
        [{ input: [1, 2] }, 'CF_CONTROL_UNSUPPORTED', 'input'],
        [{ input: [[1, 2]] }, 'CF_CONTROL_UNSUPPORTED', 'input'],
        [{ input: 'endless' }, 'CF_JOB_CONTEXT_EXCEEDED', 'input'],
        [{ input: [...texts(70), 'endless'] }, 'CF_JOB_CONTEXT_EXCEEDED', 'input[70]'],
        [{ dimensions: 256 }, 'CF_CONTROL_UNSUPPORTED', 'dimensions'],
        [{ encoding_format: 'int8' }, 'CF_CONTROL_BAD_REQUEST', 'encoding_format'],
        [{ temperature: 0 }, 'CF_CONTROL_BAD_REQUEST', 'temperature'],
        [{ cfab: { verify: 'after' } }, 'CF_CONTROL_UNSUPPORTED', 'cfab.verify'],
        [{ model: 'gpt-9' }, 'CF_MODEL_UNKNOWN', 'model'],
      ]
      for (const [body, code, param] of cases) {
        const error = await apiErrorOf(clientOf(context).embeddings.create({ model: MODEL, input: 'x', ...body }))
        assert.equal([error.code, error.param], [code, param], JSON.stringify(body).slice(0, 80))
      }
      assert.is(context.app.cancelled.length, 1, 'the job beside the one with the long text')
      assert.ok(await clientOf(context).embeddings.create({ model: MODEL, input: 'x', dimensions: FAKE_DIMENSIONS }))
    }),
  ),
)

test(
  'a refund is an error, and so is a refusal of one of the jobs',
  within(5_000, () =>
    withControl(async (context) => {
      const create = (input: string | string[]) => clientOf(context).embeddings.create({ model: MODEL, input })
      assert.is((await apiErrorOf(create('fail no_workers'))).code, 'CF_JOB_NO_WORKERS')
      context.app.failNext(new FabricError('CF_JOB_QUEUE_FULL'), 1)
      assert.is((await apiErrorOf(create(Array.from({ length: 65 }, () => 'x')))).status, 429)
      assert.is(context.app.cancelled.length, 1)
    }),
  ),
)

test(
  'an intent says its task: texts, a bare prompt, or a chat; options that could change nothing are refused',
  within(5_000, () =>
    withControl(async ({ app, url }) => {
      const post = (body: object) => askJson(`${url}/api/v1/p2p/intents`, body)
      const chat = { model: 'cfab-tiny' }
      assert.is((await post({ ...chat, task: 'completion', prompt: 'Once', top_p: 0.5, stop: 'x' })).status, 202)
      assert.equal([app.requests[0]?.input, app.requests[0]?.topPMilli], [{ task: 'completion', prompt: 'Once' }, 500])
      const accepted = await post({ model: MODEL, task: 'embedding', texts: ['a', 'b'] })
      assert.equal([accepted.status, app.requests[1]?.verify], [202, 'before'])
      const { events_url: events } = Object(JSON.parse(accepted.body))
      const data = /event: vectors\ndata: (.*)/.exec((await ask(url + events)).body)?.[1] ?? '{}'
      assert.is(Object(JSON.parse(data)).vectors.length, 2)
      for (const task of ['chat', 'completion', 'embedding']) {
        const named = task === 'embedding' ? { model: MODEL, texts: ['a'] } : { ...chat, prompt: 'hi' }
        assert.is((await post({ ...named, task, dry_run: true })).status, 200, task)
      }
      const wrong: readonly (readonly [body: object, param: string])[] = [
        [{ ...chat, task: 'completion', messages: [] }, 'messages'],
        [{ ...chat, texts: ['a'] }, 'texts'],
        [{ ...chat, task: 'poem', prompt: 'x' }, 'task'],
        [{ model: MODEL, task: 'embedding', texts: [] }, 'texts'],
        [{ model: MODEL, task: 'embedding', texts: ['a', 5] }, 'texts[1]'],
        [{ model: MODEL, task: 'embedding', texts: ['a'], temperature: 1 }, 'temperature'],
        [{ model: MODEL, task: 'embedding', texts: ['a'], stop: ['x'] }, 'stop'],
        [{ model: MODEL, task: 'embedding', texts: ['a'], verify: 'after' }, 'verify'],
        [{ model: MODEL, prompt: 'x' }, 'model'],
      ]
      for (const [body, param] of wrong) {
        const reply = await post(body)
        assert.equal([reply.status, Object(JSON.parse(reply.body)).error.param], [400, param], JSON.stringify(body))
      }
    }),
  ),
)

test.run()
