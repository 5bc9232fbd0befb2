/** Several choices, stop strings, logprobs and samplers of one chat, as the official client sees them. */
import type { OpenAI } from 'openai'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../core/errors.ts'
import { choiceNonce, nonceOf } from '../../node/control/job-fields.ts'
import { askJson, type TestControl, withControl } from '../support/control.ts'
import { FAKE_TEXT, FAKE_WORDS } from '../support/fake-jobs.ts'
import { apiErrorOf, cfabOf, clientOf, user } from '../support/openai-client.ts'
import { within } from '../support/within.ts'

type Chunk = OpenAI.ChatCompletionChunk
const COUNT = FAKE_WORDS.length

async function chunksOf(context: TestControl, content: string, body: object): Promise<readonly Chunk[]> {
  const stream = await clientOf(context).chat.completions.create({
    model: 'cfab-tiny',
    messages: user(content),
    ...body,
    stream: true,
  })
  const chunks: Chunk[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return chunks
}

const wholeOf = (context: TestControl, content: string, body: object): Promise<OpenAI.ChatCompletion> =>
  clientOf(context).chat.completions.create({ model: 'cfab-tiny', messages: user(content), ...body, stream: false })

function textOf(chunks: readonly Chunk[], index = 0): string {
  const mine = chunks.flatMap(({ choices }) => choices.filter((choice) => choice.index === index))
  return mine.map(({ delta }) => delta.content ?? '').join('')
}

test(
  'three choices are three jobs, each with its own receipt, and their usage is a sum',
  within(5_000, () =>
    withControl(async (context) => {
      const answer = await wholeOf(context, 'hello', { n: 3 })
      assert.equal(
        answer.choices.map(({ index, message }) => [index, message.content]),
        [0, 1, 2].map((index) => [index, FAKE_TEXT]),
      )
      assert.equal(answer.usage, { prompt_tokens: 21, completion_tokens: 3 * COUNT, total_tokens: 21 + 3 * COUNT })
      const members: readonly { job_id: string; outcome: string }[] = Object(cfabOf(answer)).choices
      assert.equal(
        members.map(({ outcome }) => outcome),
        ['verified', 'verified', 'verified'],
      )
      assert.is(new Set(members.map(({ job_id: id }) => id)).size, 3)
      assert.is(context.app.requests.length, 3)
    }),
  ),
)

test(
  'streamed choices each open, speak and finish under their index before one usage and one cfab',
  within(5_000, () =>
    withControl(async (context) => {
      const chunks = await chunksOf(context, 'hello', { n: 3, stream_options: { include_usage: true } })
      for (const index of [0, 1, 2]) {
        assert.is(textOf(chunks, index), FAKE_TEXT)
        const mine = chunks.flatMap(({ choices }) => choices.filter((choice) => choice.index === index))
        assert.is(mine[0]?.delta.role, 'assistant')
        assert.equal(
          mine.filter(({ finish_reason: reason }) => reason !== null).map(({ finish_reason: reason }) => reason),
          ['stop'],
        )
      }
      const order = chunks.flatMap(({ choices }) => choices.map(({ index }) => index))
      assert.not.equal(order, order.toSorted(), 'choices wait for no other to finish')
      const [usage, last] = chunks.slice(-2)
      assert.is(usage?.usage?.completion_tokens, 3 * COUNT)
      assert.is(Object(cfabOf(last ?? {})).choices.length, 3)
      assert.is(chunks.filter(({ choices }) => choices.length === 0).length, 2)
    }),
  ),
)

test(
  'when one of several jobs is refused the others are cancelled and the refusal is the answer',
  within(5_000, () =>
    withControl(async (context) => {
      const { app } = context
      app.failNext(new FabricError('CF_LEDGER_INSUFFICIENT_CREDIT'), 2)
      const error = await apiErrorOf(wholeOf(context, 'slow', { n: 3 }))
      assert.equal([error.status, error.code], [402, 'CF_LEDGER_INSUFFICIENT_CREDIT'])
      assert.equal([app.requests.length, app.cancelled.length], [2, 2])
    }),
  ),
)

test(
  'under an Idempotency-Key a refusal for now leaves the others to the next attempt, one for ever does not',
  within(5_000, () =>
    withControl(async ({ app, url }) => {
      const body = { model: 'cfab-tiny', n: 2, messages: user('hello') }
      const ask = (key: string) => askJson(`${url}/v1/chat/completions`, body, { 'idempotency-key': key })
      app.failNext(new FabricError('CF_JOB_QUEUE_FULL'), 1)
      assert.is((await ask('a')).status, 429)
      assert.equal(app.cancelled, [])
      assert.is((await ask('a')).status, 200)
      assert.is(app.requests.length, 2, 'the first job of the key was found again')
      app.failNext(new FabricError('CF_JOB_OVER_BUDGET'), 1)
      assert.is((await ask('b')).status, 402)
      assert.is(app.cancelled.length, 1)
    }),
  ),
)

test(
  'a key with several choices names the same jobs again, and another body under it is a conflict',
  within(5_000, () =>
    withControl(async ({ app, url }) => {
      const ask = async (body: object) =>
        askJson(
          `${url}/v1/chat/completions`,
          { model: 'cfab-tiny', messages: user('hello'), n: 3, ...body },
          { 'idempotency-key': 'thrice' },
        )
      const [first, again] = [await ask({}), await ask({})]
      assert.equal(again.headers['x-cfab-job'], first.headers['x-cfab-job'])
      assert.is(app.requests.length, 3)
      assert.equal(
        app.requests.map(({ nonce }) => nonce),
        [0, 1, 2].map((index) => choiceNonce(nonceOf('thrice'), index)),
      )
      assert.is((await ask({ temperature: 0 })).status, 409)
      assert.equal(app.cancelled, [])
    }),
  ),
)

test(
  'a client that hangs up cancels every choice',
  within(5_000, (signal) =>
    withControl(async (context) => {
      const { app } = context
      const runner = clientOf(context).chat.completions.stream({ model: 'cfab-tiny', messages: user('slow'), n: 4 })
      runner.once('chunk', () => runner.abort())
      await runner.done().catch(() => undefined)
      while (app.cancelled.length < 4) {
        signal.throwIfAborted()
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      assert.is(new Set(app.cancelled).size, 4)
    }),
  ),
)

test(
  'a job that fails in the middle of a stream is the last event, and in a whole answer an error',
  within(5_000, () =>
    withControl(async (context) => {
      const streamed = await apiErrorOf(chunksOf(context, 'half', { n: 2 }))
      const whole = await apiErrorOf(wholeOf(context, 'half', { n: 2 }))
      assert.equal([streamed.code, whole.code, whole.status], ['CF_WORKER_HOST_LOST', 'CF_WORKER_HOST_LOST', 503])
    }),
  ),
)

test(
  'text ends before the stop string, streamed or whole, and the finish says stop',
  within(5_000, () =>
    withControl(async (context) => {
      const cases: readonly (readonly [prompt: string, stop: string | string[], shown: string])[] = [
        ['hello', ' a', 'Once upon'],
        ['say one two three', 'two', 'one '],
        ['say aab', ['b', 'aab'], ''],
        ['say a🌍b', '🌍b', 'a'],
        ['say no end', 'ending', 'no end'],
      ]
      for (const [prompt, stop, shown] of cases) {
        const whole = await wholeOf(context, prompt, { stop })
        assert.equal([whole.choices[0]?.message.content, whole.choices[0]?.finish_reason], [shown, 'stop'], prompt)
        const chunks = await chunksOf(context, prompt, { stop })
        assert.is(textOf(chunks), shown, prompt)
        assert.is(chunks.at(-2)?.choices[0]?.finish_reason, 'stop')
      }
      assert.equal(context.app.requests[0]?.stop, [' a'])
    }),
  ),
)

test(
  'logprobs go with their tokens and end where the text does',
  within(5_000, () =>
    withControl(async (context) => {
      const body = { logprobs: true, top_logprobs: 2, stop: '.' }
      const whole = (await wholeOf(context, 'hello', body)).choices[0]?.logprobs?.content
      assert.equal(
        whole?.map(({ token }) => token),
        ['Once', ' upon', ' a', ' time', ''],
      )
      assert.equal(whole?.[0]?.bytes, [...Buffer.from('Once')])
      assert.is(whole?.[4]?.bytes, null, 'a part of a character has no bytes of its own')
      assert.equal(
        whole?.[0]?.top_logprobs.map(({ token, logprob }) => [token, logprob]),
        [
          ['Once', -0.25],
          ['w0', -1],
        ],
      )
      const chunks = await chunksOf(context, 'hello', body)
      assert.equal(
        chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? []),
        whole,
      )
      const bare = (await wholeOf(context, 'hello', { logprobs: true })).choices[0]?.logprobs?.content
      assert.equal(bare?.[0]?.top_logprobs, [])
      assert.is((await wholeOf(context, 'hello', {})).choices[0]?.logprobs, null)
    }),
  ),
)

test(
  'a token whose text is held back is told with it, not before',
  within(5_000, () =>
    withControl(async (context) => {
      const chunks = await chunksOf(context, 'say abXYc', { logprobs: true, stop: 'XYZ' })
      const told = chunks.flatMap(({ choices }) => {
        const [choice] = choices
        const tokens = choice?.logprobs?.content?.map(({ token }) => token).join('')
        return tokens === undefined ? [] : [[choice?.delta.content, tokens]]
      })
      assert.equal(told, [
        ['a', 'a'],
        ['b', 'b'],
        ['XYc', 'XYc'],
      ])
    }),
  ),
)

test(
  'top_p and penalties reach the job in thousandths and make it unverifiable; neutral ones do not',
  within(5_000, () =>
    withControl(async (context) => {
      const spoken = await wholeOf(context, 'hello', { top_p: 0.9, frequency_penalty: -0.5, presence_penalty: 2 })
      assert.is(Object(cfabOf(spoken)).verifiable, false)
      const [job] = context.app.requests
      assert.equal([job?.topPMilli, job?.frequencyPenaltyMilli, job?.presencePenaltyMilli], [900, -500, 2_000])
      const neutral = await wholeOf(context, 'hello', { top_p: 1, frequency_penalty: 0, presence_penalty: -0, seed: 7 })
      assert.is(Object(cfabOf(neutral)).verifiable, true)
      assert.equal(
        ['topPMilli', 'frequencyPenaltyMilli', 'presencePenaltyMilli'].filter(
          (name) => name in Object(context.app.requests[1]),
        ),
        [],
      )
    }),
  ),
)

test(
  'values beyond what is offered are refused where they stand',
  within(8_000, () =>
    withControl(async (context) => {
      const cases: readonly (readonly [body: object, param: string])[] = [
        [{ n: 0 }, 'n'],
        [{ n: 9 }, 'n'],
        [{ n: 1.5 }, 'n'],
        [{ top_p: 0 }, 'top_p'],
        [{ top_p: 1.001 }, 'top_p'],
        [{ top_p: 0.12345 }, 'top_p'],
        [{ temperature: 0.7001 }, 'temperature'],
        [{ frequency_penalty: 2.001 }, 'frequency_penalty'],
        [{ presence_penalty: '1' }, 'presence_penalty'],
        [{ stop: '' }, 'stop'],
        [{ stop: ['a', 'b', 'c', 'd', 'e'] }, 'stop'],
        [{ stop: ['a', 5] }, 'stop[1]'],
        [{ stop: '🌍'.repeat(13) }, 'stop'],
        [{ stop: '\ud83c' }, 'stop'],
        [{ logprobs: 1 }, 'logprobs'],
        [{ logprobs: true, top_logprobs: 21 }, 'top_logprobs'],
        [{ top_logprobs: 2 }, 'top_logprobs'],
        [{ stream_options: { include_usage: true } }, 'stream_options'],
      ]
      for (const [body, param] of cases) {
        const error = await apiErrorOf(wholeOf(context, 'hello', body))
        assert.equal([error.status, error.code, error.param], [400, 'CF_CONTROL_BAD_REQUEST', param])
      }
      assert.is(context.app.requests.length, 0)
    }),
  ),
)

test.run()
