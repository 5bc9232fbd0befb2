/** Calls of tools and thoughts as they reach the official client, from a model that says what it is told to. */
import type { ChatCompletionChunk, ChatCompletionTool } from 'openai/resources/chat/completions'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type TestControl, withControl } from '../support/control.ts'
import { FAKE_TEXT } from '../support/fake-jobs.ts'
import { clientOf, user } from '../support/openai-client.ts'
import { within } from '../support/within.ts'

const MODEL = 'caller'
const TOOLS: ChatCompletionTool[] = ['weather', 'clock'].map((name) => ({
  type: 'function',
  function: { name, parameters: { type: 'object', properties: { city: { type: 'string' } } } },
}))
/** As models of this format write it. */
const called = (name: string, given: object): string =>
  `<tool_call>\n${JSON.stringify({ name, arguments: given })}\n</tool_call>`
const BERN = called('weather', { city: 'Bern' })
const CLOCK = called('clock', {})

async function chunksOf(
  context: TestControl,
  content: string,
  body: object = {},
): Promise<readonly ChatCompletionChunk[]> {
  const asked = { model: MODEL, messages: user(content), tools: TOOLS, ...body, stream: true as const }
  const chunks: ChatCompletionChunk[] = []
  for await (const chunk of await clientOf(context).chat.completions.create(asked)) chunks.push(chunk)
  return chunks
}

const wholeOf = (context: TestControl, content: string, body: object = {}) =>
  clientOf(context).chat.completions.create({ model: MODEL, messages: user(content), tools: TOOLS, ...body })

test(
  'a call is a call, whole or streamed, and the answer ends because of it',
  within(8_000, () =>
    withControl(async (context) => {
      const [choice] = (await wholeOf(context, `say ${BERN}`)).choices
      assert.is(choice?.finish_reason, 'tool_calls')
      assert.is(choice?.message.content, null)
      const [call] = choice?.message.tool_calls ?? []
      assert.ok(call?.type === 'function')
      if (call?.type !== 'function') return
      assert.is(call.function.name, 'weather')
      assert.equal(JSON.parse(call.function.arguments), { city: 'Bern' })
      assert.match(call.id, /^call_[0-9a-f]{24}_0$/)
      const deltas = (await chunksOf(context, `say ${BERN}`)).flatMap(({ choices }) => choices)
      assert.is(deltas.map(({ delta }) => delta.content ?? '').join(''), '')
      const parts = deltas.flatMap(({ delta }) => delta.tool_calls ?? [])
      const [head, ...rest] = parts
      assert.equal([head?.index, head?.type, head?.function?.name], [0, 'function', 'weather'])
      assert.match(head?.id ?? '', /^call_[0-9a-f]{24}_0$/)
      for (const part of rest) assert.equal([part.index, part.id, part.function?.name], [0, undefined, undefined])
      assert.equal(JSON.parse(parts.map((part) => part.function?.arguments ?? '').join('')), { city: 'Bern' })
      assert.is(deltas.at(-1)?.finish_reason, 'tool_calls')
    }),
  ),
)

test(
  'several calls keep their places, words before them are shown, and one call is all that a client may want',
  within(8_000, () =>
    withControl(async (context) => {
      const text = `say One moment.\n${BERN}\n${CLOCK}`
      const stream = clientOf(context).chat.completions.stream({ model: MODEL, messages: user(text), tools: TOOLS })
      const [choice] = (await stream.finalChatCompletion()).choices
      assert.is(choice?.message.content?.trim(), 'One moment.')
      const names = (calls: typeof choice): readonly unknown[] =>
        (calls?.message.tool_calls ?? []).map((call) => call.type === 'function' && call.function.name)
      assert.equal(names(choice), ['weather', 'clock'])
      const ids = choice?.message.tool_calls?.map(({ id }) => id) ?? []
      assert.is(new Set(ids).size, 2)
      const only = await wholeOf(context, text, { parallel_tool_calls: false })
      assert.is(only.choices[0]?.message.tool_calls?.length, 1)
      assert.is(only.choices[0]?.message.content?.trim(), 'One moment.')
    }),
  ),
)

test(
  'each choice has calls of its own, and a repeated request has the same ones',
  within(8_000, () =>
    withControl(async (context) => {
      const { choices } = await wholeOf(context, `say ${CLOCK}`, { n: 2 })
      const ids = choices.map(({ message }) => message.tool_calls?.[0]?.id)
      assert.is(new Set(ids).size, 2)
      const again = async (): Promise<unknown> => {
        const request = { model: MODEL, messages: user(`say ${CLOCK}`), tools: TOOLS }
        const headers = { headers: { 'Idempotency-Key': 'one call' } }
        const answer = await clientOf(context).chat.completions.create(request, headers)
        return answer.choices[0]?.message.tool_calls?.[0]?.id
      }
      assert.is(await again(), await again())
    }),
  ),
)

test(
  'what looks like a call is text where no tools were offered, and a model may just answer where they were',
  within(8_000, () =>
    withControl(async (context) => {
      for (const body of [{ tools: [] }, { tool_choice: 'none' }]) {
        const [choice] = (await wholeOf(context, `say ${CLOCK}`, body)).choices
        assert.is(choice?.message.content, CLOCK)
        assert.is(choice?.finish_reason, 'stop')
      }
      const [plain] = (await wholeOf(context, 'hello')).choices
      assert.equal([plain?.message.content, plain?.finish_reason], [FAKE_TEXT, 'stop'])
      assert.is(plain?.message.tool_calls, undefined)
    }),
  ),
)

test(
  'a call that is cut off says so, and a stop string ends it as it ends a text',
  within(8_000, () =>
    withControl(async (context) => {
      const [cut] = (await wholeOf(context, `say ${BERN}`, { max_tokens: 40 })).choices
      assert.is(cut?.finish_reason, 'length')
      const [stopped] = (await wholeOf(context, `say Well.${BERN}`, { stop: ['Well'] })).choices
      assert.equal([stopped?.message.content, stopped?.finish_reason], ['', 'stop'])
    }),
  ),
)

test(
  'log probabilities go with the tokens of calls too',
  within(8_000, () =>
    withControl(async (context) => {
      const whole = await wholeOf(context, `say ${CLOCK}`, { logprobs: true })
      const tokens = whole.choices[0]?.logprobs?.content ?? []
      assert.is(tokens.length, [...CLOCK].length)
      const chunks = await chunksOf(context, `say ${CLOCK}`, { logprobs: true })
      const streamed = chunks.flatMap(({ choices }) => choices[0]?.logprobs?.content ?? [])
      assert.is(streamed.length, tokens.length)
    }),
  ),
)

test(
  'thoughts are told apart from words and calls, whole or streamed, and an answer of a form has none',
  within(8_000, () =>
    withControl(async (context) => {
      const text = `say <think>\nHm, ${CLOCK}?\n</think>\n\nLet me look.\n${BERN}`
      const message = (await wholeOf(context, text)).choices[0]?.message
      assert.is(Object(message).reasoning_content, `Hm, ${CLOCK}?`)
      assert.is(message?.content, 'Let me look.')
      assert.is(message?.tool_calls?.length, 1)
      const deltas = (await chunksOf(context, text)).flatMap(({ choices }) => choices.map(({ delta }) => delta))
      assert.is(deltas.map((delta) => Object(delta).reasoning_content ?? '').join(''), `Hm, ${CLOCK}?`)
      assert.is(deltas.map((delta) => delta.content ?? '').join(''), 'Let me look.')
      const said = async (words: string, body: object): Promise<unknown> => {
        const { content, ...more } = (await wholeOf(context, words, { tools: [], ...body })).choices[0]?.message ?? {}
        return [content, Object(more).reasoning_content]
      }
      assert.equal(await said('say <think>a</think>b', {}), ['b', 'a'])
      const on = { chat_template_kwargs: { enable_thinking: true } }
      assert.equal(await said('say a</think>b', on), ['b', 'a'])
      assert.equal(await said('say a</think>b', { reasoning_effort: 'none' }), ['a</think>b', undefined])
      const response_format = { type: 'json_object' }
      assert.equal(await said('say <think>a</think>b', { response_format }), ['<think>a</think>b', undefined])
    }),
  ),
)

test(
  'the client runs tools until the model answers',
  within(8_000, () =>
    withControl(async (context) => {
      const places: unknown[] = []
      const runner = clientOf(context).chat.completions.runTools({
        ...{ model: MODEL, messages: user(`say ${BERN}`), stream: true },
        tools: [
          {
            type: 'function',
            function: {
              ...{ name: 'weather', description: 'Of now.', parameters: { type: 'object', properties: {} } },
              parse: (text: string): unknown => JSON.parse(text),
              function: async (place: unknown) => {
                places.push(place)
                return 'say It is 7 degrees.'
              },
            },
          },
        ],
      })
      assert.is(await runner.finalContent(), 'It is 7 degrees.')
      assert.equal(places, [{ city: 'Bern' }])
      const last = context.app.requests.at(-1)?.input
      const messages = last?.task === 'chat' ? last.messages : []
      assert.equal(
        messages.map(({ role, toolCalls = [], toolCallId }) => [role, toolCalls.length, toolCallId !== undefined]),
        [
          ['user', 0, false],
          ['assistant', 1, false],
          ['tool', 0, true],
        ],
      )
    }),
  ),
)

test.run()
