/** `/v1/completions` as the official client sees it. */
import type { OpenAI } from 'openai'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type TestControl, withControl } from '../support/control.ts'
import { FAKE_TEXT, FAKE_WORDS } from '../support/fake-jobs.ts'
import { apiErrorOf, cfabOf, clientOf } from '../support/openai-client.ts'
import { within } from '../support/within.ts'

const COUNT = FAKE_WORDS.length
const wholeOf = (context: TestControl, body: object): Promise<OpenAI.Completion> =>
  clientOf(context).completions.create({ model: 'cfab-tiny', prompt: 'hello', ...body, stream: false })

async function chunksOf(context: TestControl, body: object): Promise<readonly OpenAI.Completion[]> {
  const stream = await clientOf(context).completions.create({
    model: 'cfab-tiny',
    prompt: 'hello',
    ...body,
    stream: true,
  })
  const chunks: OpenAI.Completion[] = []
  for await (const chunk of stream) chunks.push(chunk)
  return chunks
}

test(
  'a prompt is continued as it stands, and the reference says how far when nobody else does',
  within(5_000, () =>
    withControl(async (context) => {
      const answer = await wholeOf(context, {})
      assert.equal(answer.choices, [{ text: FAKE_TEXT, index: 0, logprobs: null, finish_reason: 'stop' }])
      assert.equal(answer.usage, { prompt_tokens: 7, completion_tokens: COUNT, total_tokens: 7 + COUNT })
      assert.is(Object(cfabOf(answer)).outcome, 'verified')
      assert.match(answer.id, /^cmpl-[0-9a-f]{64}$/)
      const [job] = context.app.requests
      assert.equal([job?.input, job?.maxTokens], [{ task: 'completion', prompt: 'hello' }, 16])
    }),
  ),
)

test(
  'prompts times n are as many choices, those of one prompt beside each other',
  within(5_000, () =>
    withControl(async (context) => {
      const answer = await wholeOf(context, { prompt: ['say one', 'say two'], n: 2, max_tokens: 2 })
      assert.equal(
        answer.choices.map(({ index, text, finish_reason: reason }) => [index, text, reason]),
        [
          [0, 'on', 'length'],
          [1, 'on', 'length'],
          [2, 'tw', 'length'],
          [3, 'tw', 'length'],
        ],
      )
      assert.is(answer.usage?.completion_tokens, 8)
      assert.is(Object(cfabOf(answer)).choices.length, 4)
    }),
  ),
)

test(
  'a stream is pieces, finish, usage, cfab',
  within(5_000, () =>
    withControl(async (context) => {
      const chunks = await chunksOf(context, { stop: ' time', stream_options: { include_usage: true } })
      assert.is(chunks.map(({ choices }) => choices[0]?.text ?? '').join(''), 'Once upon a')
      const [finish, usage, last] = chunks.slice(-3)
      assert.is(finish?.choices[0]?.finish_reason, 'stop')
      assert.equal([usage?.usage?.completion_tokens, usage?.choices], [4, []])
      assert.is(Object(cfabOf(last ?? {})).outcome, 'verified')
    }),
  ),
)

test(
  'logprobs come as parallel lists with offsets into the text',
  within(5_000, () =>
    withControl(async (context) => {
      const lists = (await wholeOf(context, { logprobs: 1, stop: '.' })).choices[0]?.logprobs
      assert.equal(lists?.tokens, ['Once', ' upon', ' a', ' time', ''])
      assert.equal(lists?.text_offset, [0, 4, 9, 11, 16])
      assert.equal(lists?.token_logprobs, [-0.25, -0.25, -0.25, -0.25, -0.25])
      assert.equal(lists?.top_logprobs?.[0], { Once: -0.25 })
      assert.equal(lists?.top_logprobs?.[4], { 'token_id:1': -0.25 })
      const chunks = await chunksOf(context, { logprobs: 0, stop: '.' })
      assert.equal(
        chunks.flatMap(({ choices }) => choices[0]?.logprobs?.text_offset ?? []),
        lists?.text_offset,
      )
      assert.equal(chunks[1]?.choices[0]?.logprobs?.top_logprobs, [{ ' upon': -0.25 }])
    }),
  ),
)

test(
  'echo puts the prompt before the answer, streamed or whole',
  within(5_000, () =>
    withControl(async (context) => {
      const body = { echo: true, prompt: ['say x', 'hello'] }
      const whole = await wholeOf(context, body)
      assert.equal(
        whole.choices.map(({ text }) => text),
        ['say xx', `hello${FAKE_TEXT}`],
      )
      const chunks = await chunksOf(context, body)
      for (const index of [0, 1]) {
        const mine = chunks.flatMap(({ choices }) => choices.filter((choice) => choice.index === index))
        assert.is(mine.map(({ text }) => text).join(''), whole.choices[index]?.text)
      }
    }),
  ),
)

test(
  'what is not offered is refused by name, and what is wrong where it stands',
  within(8_000, () =>
    withControl(async (context) => {
      const prompts = Array.from({ length: 17 }, () => 'x')
      const cases: readonly (readonly [body: object, code: string, param: string])[] = [
        [{ suffix: 'end' }, 'CF_CONTROL_UNSUPPORTED', 'suffix'],
        [{ best_of: 3 }, 'CF_CONTROL_UNSUPPORTED', 'best_of'],
        [{ n: 2, best_of: 1 }, 'CF_CONTROL_UNSUPPORTED', 'best_of'],
        [{ logit_bias: { five: 1 } }, 'CF_CONTROL_BAD_REQUEST', 'logit_bias.five'],
        [{ logit_bias: { 5: 101 } }, 'CF_CONTROL_BAD_REQUEST', 'logit_bias.5'],
        [{ logit_bias: [1] }, 'CF_CONTROL_BAD_REQUEST', 'logit_bias'],
        [{ prompt: [1, -2, 3] }, 'CF_CONTROL_BAD_REQUEST', 'prompt[1]'],
        [{ prompt: [1, 'x'] }, 'CF_CONTROL_BAD_REQUEST', 'prompt[1]'],
        [{ prompt: [[1, 2], [3.5]] }, 'CF_CONTROL_BAD_REQUEST', 'prompt[1][0]'],
        [{ prompt: [[1, 2], []] }, 'CF_CONTROL_BAD_REQUEST', 'prompt[1]'],
        [{ prompt: Array.from({ length: 17 }, () => [1]) }, 'CF_CONTROL_BAD_REQUEST', 'prompt'],
        [{ prompt: [1, 2], echo: true }, 'CF_CONTROL_UNSUPPORTED', 'echo'],
        [{ echo: true, logprobs: 1 }, 'CF_CONTROL_UNSUPPORTED', 'echo'],
        [{ prompt: '' }, 'CF_CONTROL_BAD_REQUEST', 'prompt'],
        [{ prompt: null }, 'CF_CONTROL_BAD_REQUEST', 'prompt'],
        [{ prompt: [] }, 'CF_CONTROL_BAD_REQUEST', 'prompt'],
        [{ prompt: ['x', ''] }, 'CF_CONTROL_BAD_REQUEST', 'prompt[1]'],
        [{ prompt: prompts }, 'CF_CONTROL_BAD_REQUEST', 'prompt'],
        [{ prompt: prompts.slice(0, 9), n: 2 }, 'CF_CONTROL_BAD_REQUEST', 'n'],
        [{ logprobs: 6 }, 'CF_CONTROL_BAD_REQUEST', 'logprobs'],
        [{ max_tokens: 0 }, 'CF_CONTROL_BAD_REQUEST', 'max_tokens'],
        [{ messages: [] }, 'CF_CONTROL_BAD_REQUEST', 'messages'],
        [{ prompt: ['x', 'endless x'] }, 'CF_JOB_CONTEXT_EXCEEDED', 'prompt[1]'],
        [{ prompt: 'endless x' }, 'CF_JOB_CONTEXT_EXCEEDED', 'prompt'],
        [{ model: 'gpt-9' }, 'CF_MODEL_UNKNOWN', 'model'],
      ]
      for (const [body, code, param] of cases) {
        const error = await apiErrorOf(wholeOf(context, body))
        assert.equal([error.code, error.param], [code, param], JSON.stringify(body))
      }
      assert.ok(await wholeOf(context, { suffix: null, best_of: 2, n: 2, logit_bias: {}, user: 'someone' }))
    }),
  ),
)

test(
  'a prompt of token ids is taken as it is, alone or beside others',
  within(5_000, () =>
    withControl(async (context) => {
      assert.is((await wholeOf(context, { prompt: [1, 2, 3] })).choices.length, 1)
      assert.is((await wholeOf(context, { prompt: [[4], [5, 6]], n: 2 })).choices.length, 4)
      assert.is((await wholeOf(context, { prompt: ['x', [7]] })).choices.length, 2)
      assert.equal(
        context.app.requests.map(({ input }) => (input.task === 'completion' ? input.prompt : undefined)),
        [[1, 2, 3], [4], [4], [5, 6], [5, 6], 'x', [7]],
      )
    }),
  ),
)

test.run()
