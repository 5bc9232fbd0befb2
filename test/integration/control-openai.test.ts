/** The official `openai` client, unchanged, against the control plane. */
import { AuthenticationError, type OpenAI, RateLimitError } from 'openai'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../core/errors.ts'
import { withControl } from '../support/control.ts'
import { FAKE_TEXT, FAKE_WORDS } from '../support/fake-jobs.ts'
import { apiErrorOf, cfabOf, clientOf, user } from '../support/openai-client.ts'
import { shapeFault } from '../support/openai-shapes.ts'
import { within } from '../support/within.ts'

const API_KEY = 'ab'.repeat(32)

test(
  'the client lists and retrieves models',
  within(5_000, () =>
    withControl(async (context) => {
      const client = clientOf(context)
      const page = await client.models.list()
      assert.equal(
        page.data.map((model) => model.id),
        ['cfab-tiny', 'caller', 'use-lite-en'],
      )
      assert.is((await client.models.retrieve('cfab-tiny')).owned_by, 'computefabric')
      const missing = await apiErrorOf(client.models.retrieve('gpt-9/large'))
      assert.equal([missing.status, missing.code, missing.param], [404, 'CF_MODEL_UNKNOWN', 'model'])
    }),
  ),
)

test(
  'a whole answer carries text, usage and the cfab member',
  within(5_000, () =>
    withControl(async (context) => {
      const answer = await clientOf(context).chat.completions.create({ model: 'cfab-tiny', messages: user('hello') })
      assert.is(answer.choices[0]?.message.content, FAKE_TEXT)
      assert.is(answer.choices[0]?.finish_reason, 'stop')
      assert.equal(answer.usage, {
        prompt_tokens: 7,
        completion_tokens: FAKE_WORDS.length,
        total_tokens: 7 + FAKE_WORDS.length,
      })
      const id = answer.id.replace('chatcmpl-', '')
      assert.equal(cfabOf(answer), {
        outcome: 'verified',
        assurance: 'local',
        reason: null,
        verifiable: true,
        job_id: id,
        receipt_id: id,
        receipt_url: `/api/v1/p2p/receipts/${id}`,
        cost: '0.012345',
        refund: '0.007655',
      })
    }),
  ),
)

test(
  'a stream is role, words, finish, usage, cfab, in this order',
  within(5_000, () =>
    withControl(async (context) => {
      const stream = await clientOf(context).chat.completions.create({
        model: 'cfab-tiny',
        messages: user('hello'),
        stream: true,
        stream_options: { include_usage: true },
      })
      const chunks: OpenAI.ChatCompletionChunk[] = []
      for await (const chunk of stream) chunks.push(chunk)
      assert.is(chunks[0]?.choices[0]?.delta.role, 'assistant')
      assert.is(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), FAKE_TEXT)
      const [finish, usage, last] = chunks.slice(-3)
      assert.is(finish?.choices[0]?.finish_reason, 'stop')
      assert.is(usage?.usage?.completion_tokens, FAKE_WORDS.length)
      assert.equal(last?.choices, [])
      assert.is(Object(cfabOf(last ?? {})).outcome, 'verified')
      assert.is(new Set(chunks.map((chunk) => chunk.id)).size, 1)
    }),
  ),
)

test(
  'the streaming helper of the client accumulates the same message',
  within(5_000, () =>
    withControl(async (context) => {
      const runner = clientOf(context).chat.completions.stream({
        ...{ model: 'cfab-tiny', messages: user('hello') },
        stream_options: { include_usage: true },
      })
      assert.is(await runner.finalContent(), FAKE_TEXT)
      const { usage } = await runner.finalChatCompletion()
      assert.is(usage?.completion_tokens, FAKE_WORDS.length)
    }),
  ),
)

test(
  'text parts, developer role and every neutral parameter are accepted',
  within(5_000, () =>
    withControl(async (context) => {
      await clientOf(context).chat.completions.create({
        model: 'cfab-tiny',
        messages: [
          { role: 'developer', content: 'Be brief.' },
          {
            role: 'user',
            content: [
              { type: 'text', text: 'Once ' },
              { type: 'text', text: 'upon' },
            ],
          },
        ],
        ...{
          n: 1,
          top_p: 1,
          frequency_penalty: 0,
          presence_penalty: 0,
          stop: null,
          logprobs: false,
          logit_bias: {},
          tools: [],
        },
        ...{
          response_format: { type: 'text' as const },
          user: 'someone',
          metadata: { a: 'b' },
          store: false,
          tool_choice: 'auto' as const,
        },
        temperature: 0.25,
        max_completion_tokens: 33,
        seed: 7,
      })
      const [job] = context.app.requests
      assert.equal(job?.input, {
        task: 'chat',
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'Once upon' },
        ],
      })
      assert.equal(
        [job?.temperatureMilli, job?.topK, job?.maxTokens, job?.replicas, job?.seedNonce?.length],
        [250, 40, 33, 1, 32],
      )
    }),
  ),
)

test(
  'coded errors reach the client with status, code and param',
  within(5_000, () =>
    withControl(async (context) => {
      const create = (body: object) =>
        clientOf(context).chat.completions.create({ model: 'cfab-tiny', messages: user('hi'), ...body })
      const cases: readonly (readonly [object, number, string, string])[] = [
        [{ model: 'gpt-9' }, 404, 'CF_MODEL_UNKNOWN', 'model'],
        [{ best_of: 2 }, 400, 'CF_CONTROL_UNSUPPORTED', 'best_of'],
        [{ temperature: 3 }, 400, 'CF_CONTROL_BAD_REQUEST', 'temperature'],
        [{ cfab: { max_budget: '0.000001' } }, 402, 'CF_JOB_OVER_BUDGET', 'max_budget'],
        [{ cfab: { budget: '1' } }, 400, 'CF_CONTROL_BAD_REQUEST', 'cfab.budget'],
      ]
      for (const [body, status, code, param] of cases) {
        const error = await apiErrorOf(create(body))
        assert.equal([error.status, error.code, error.param], [status, code, param])
      }
    }),
  ),
)

test(
  'the client retries what may be retried and not what may not',
  within(8_000, () =>
    withControl(async (context) => {
      const client = clientOf(context, { maxRetries: 2 })
      context.app.failNext(new FabricError('CF_WORKER_QUEUE_FULL'))
      assert.ok(await client.chat.completions.create({ model: 'cfab-tiny', messages: user('hello') }))
      context.app.failNext(new FabricError('CF_JOB_NONCE_USED'))
      const conflict = await apiErrorOf(client.chat.completions.create({ model: 'cfab-tiny', messages: user('hello') }))
      assert.equal([conflict.status, conflict.code], [409, 'CF_JOB_NONCE_USED'])
    }),
  ),
)

test(
  'a job that fails before its first token is an HTTP error, streamed or not',
  within(5_000, () =>
    withControl(async (context) => {
      for (const stream of [true, false]) {
        const request = { model: 'cfab-tiny', messages: user('fail no_workers'), stream }
        const error = await apiErrorOf(clientOf(context).chat.completions.create(request))
        assert.equal([error.status, error.code], [503, 'CF_JOB_NO_WORKERS'])
        assert.is(error.headers?.get('retry-after'), '1')
      }
    }),
  ),
)

test(
  'a model of another task is refused at its name',
  within(5_000, () =>
    withControl(async (context) => {
      const client = clientOf(context)
      const embedding = { model: 'use-lite-en' }
      const cases = [
        () => client.chat.completions.create({ ...embedding, messages: user('hi') }),
        () => client.completions.create({ ...embedding, prompt: 'hi' }),
        () => client.embeddings.create({ model: 'cfab-tiny', input: 'hi' }),
      ]
      for (const ask of cases) {
        const error = await apiErrorOf(ask())
        assert.equal([error.status, error.code, error.param], [400, 'CF_MODEL_UNSUPPORTED', 'model'])
      }
    }),
  ),
)

test(
  'a missing key is an AuthenticationError, an empty account a 402, a full house a RateLimitError that is repeated',
  within(8_000, () =>
    withControl(
      async (context) => {
        const chat = { model: 'cfab-tiny', messages: user('hello') }
        const stranger = await apiErrorOf(clientOf(context).chat.completions.create(chat))
        assert.instance(stranger, AuthenticationError)
        assert.is(stranger.code, 'CF_CONTROL_UNAUTHORIZED')
        const client = clientOf(context, { apiKey: API_KEY })
        context.app.failNext(new FabricError('CF_LEDGER_INSUFFICIENT_CREDIT'))
        const poor = await apiErrorOf(client.chat.completions.create(chat))
        assert.equal([poor.status, poor.code], [402, 'CF_LEDGER_INSUFFICIENT_CREDIT'])
        context.app.failNext(new FabricError('CF_JOB_QUEUE_FULL'))
        assert.instance(await apiErrorOf(client.chat.completions.create(chat)), RateLimitError)
        context.app.failNext(new FabricError('CF_JOB_QUEUE_FULL'))
        assert.ok(await clientOf(context, { apiKey: API_KEY, maxRetries: 1 }).chat.completions.create(chat))
      },
      { apiKey: API_KEY },
    ),
  ),
)

test(
  'an abort of the client ends its stream and cancels its job',
  within(5_000, (signal) =>
    withControl(async (context) => {
      const stream = await clientOf(context).chat.completions.create({
        model: 'cfab-tiny',
        messages: user('slow'),
        stream: true,
      })
      for await (const chunk of stream) if (chunk.choices[0]?.delta.content === 'Once') stream.controller.abort()
      while (context.app.cancelled.length === 0) {
        signal.throwIfAborted()
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
    }),
  ),
)

test('the schemas refuse what is no answer', () => {
  const error = { message: 'no', type: 'x', param: null, code: null }
  assert.is(shapeFault('error', { error }), undefined)
  assert.match(shapeFault('error', { error: { ...error, stack: 'x' } }) ?? '', 'error')
  assert.match(shapeFault('error', { error: { ...error, message: 5 } }) ?? '', '/error/message')
  assert.match(shapeFault('chat.completion', { object: 'chat.completion' }) ?? '', 'chat.completion')
})

test.run()
