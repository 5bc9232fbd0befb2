/** Forms of an answer, forced calls, biases and token ids: the official `openai` client against a spawned node with the real model. */
import type OpenAI from 'openai'
import type { ChatCompletionTool } from 'openai/resources/chat/completions'
import { Compile } from 'typebox/compile'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { listAt, member, textAt } from '../../node/commands/json.ts'
import { ask, askJson } from '../support/control.ts'
import { apiErrorOf, cfabOf, clientOf, user } from '../support/openai-client.ts'
import { parsed, ready, type SpawnedNode, startNode } from '../support/spawned-node.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const MODEL = 'cfab-tiny'
const ANIMAL = {
  type: 'object',
  additionalProperties: false,
  required: ['name', 'legs', 'kind', 'likes'],
  properties: {
    name: { type: 'string', maxLength: 12 },
    legs: { type: 'integer', minimum: 0, maximum: 8 },
    kind: { enum: ['bird', 'fish', 'mammal', null] },
    likes: { type: 'array', maxItems: 3, items: { type: 'string', maxLength: 8 } },
  },
}
const PLACE = {
  type: 'object',
  additionalProperties: false,
  required: ['city', 'unit'],
  properties: { city: { type: 'string', maxLength: 10 }, unit: { enum: ['celsius', 'fahrenheit'] } },
}
const tool = (name: string, parameters: Record<string, unknown>): ChatCompletionTool => ({
  type: 'function',
  function: { name, description: `The ${name} of a place.`, parameters },
})
const TOOLS = [tool('weather', PLACE), tool('clock', { type: 'object', properties: {}, additionalProperties: false })]

const isAnimal = Compile(ANIMAL)
const isPlace = Compile(PLACE)

let node: SpawnedNode
let client: OpenAI

test.before(async () => {
  node = await startNode(tempFolder(), '--threads', '1')
  await ready(node)
  client = clientOf({ url: node.address })
})
test.after(async () => {
  await node.stop()
})

test(
  'an answer of a schema is valid JSON of that schema, whatever is drawn, and no longer verifiable',
  within(60_000, async () => {
    const json_schema = { name: 'animal', schema: ANIMAL, strict: true }
    const asked = { model: MODEL, messages: user('Describe a fox.'), max_tokens: 200 }
    const form = { response_format: { type: 'json_schema' as const, json_schema } }
    for (const draw of [{ temperature: 0 }, { temperature: 1, seed: 1 }, { temperature: 2, seed: 2 }]) {
      const answer = await client.chat.completions.create({ ...asked, ...form, ...draw })
      const [choice] = answer.choices
      assert.is(choice?.finish_reason, 'stop')
      assert.ok(isAnimal.Check(JSON.parse(choice?.message.content ?? '')), choice?.message.content ?? '')
      assert.is(member(cfabOf(answer), 'verifiable'), false)
      assert.ok((answer.usage?.completion_tokens ?? 0) > 0)
    }
    const parsedAnswer = await client.chat.completions.parse({ ...asked, ...form, temperature: 0 })
    assert.ok(isAnimal.Check(parsedAnswer.choices[0]?.message.parsed))
  }),
)

test(
  'two streamed answers of a schema are valid side by side with a plain one',
  within(60_000, async () => {
    const plain = client.chat.completions.create({ model: MODEL, messages: user('Hello'), max_tokens: 40 })
    const stream = client.chat.completions.stream({
      ...{ model: MODEL, messages: user('Describe a fish.'), max_tokens: 200, n: 2, seed: 3 },
      response_format: { type: 'json_schema', json_schema: { name: 'animal', schema: ANIMAL } },
      stream_options: { include_usage: true },
    })
    const { choices, usage } = await stream.finalChatCompletion()
    assert.is(choices.length, 2)
    for (const { message } of choices)
      assert.ok(isAnimal.Check(JSON.parse(message.content ?? '')), message.content ?? '')
    assert.ok((usage?.completion_tokens ?? 0) > 0)
    assert.is(member(cfabOf(await plain), 'verifiable'), true)
  }),
)

test(
  'any object is an object, or says that it is not whole',
  within(30_000, async () => {
    const response_format = { type: 'json_object' as const }
    const body = { model: MODEL, messages: user('Describe a fox.'), max_tokens: 120, temperature: 0, response_format }
    const [choice] = (await client.chat.completions.create(body)).choices
    const content = choice?.message.content ?? ''
    assert.match(content, /^\s*\{/)
    if (choice?.finish_reason === 'stop') assert.type(JSON.parse(content), 'object')
    else assert.is(choice?.finish_reason, 'length')
  }),
)

test(
  'a call that is forced is a call of a tool that was offered, with arguments of its schema',
  within(60_000, async () => {
    const asked = {
      model: MODEL,
      messages: user('The weather in Paris?'),
      tools: TOOLS,
      max_tokens: 200,
      temperature: 0,
    }
    const named = await client.chat.completions.create({
      ...asked,
      tool_choice: { type: 'function', function: { name: 'weather' } },
    })
    const [choice] = named.choices
    assert.is(choice?.finish_reason, 'tool_calls')
    assert.is(choice?.message.content, null)
    const calls = choice?.message.tool_calls ?? []
    assert.ok(calls.length >= 1)
    for (const call of calls) {
      assert.is(call.type === 'function' && call.function.name, 'weather')
      assert.ok(call.type === 'function' && isPlace.Check(JSON.parse(call.function.arguments)), JSON.stringify(call))
    }
    assert.is(member(cfabOf(named), 'verifiable'), false)
    const required = await client.chat.completions.create({
      ...asked,
      ...{ tool_choice: 'required' as const, parallel_tool_calls: false },
    })
    const one = required.choices[0]?.message.tool_calls ?? []
    assert.is(one.length, 1)
    assert.ok(one[0]?.type === 'function' && ['weather', 'clock'].includes(one[0].function.name))
  }),
)

test(
  'a streamed call adds up to a whole one, and its answer goes back to the model',
  within(60_000, async () => {
    const asked = {
      model: MODEL,
      messages: user('The weather in Paris?'),
      tools: TOOLS,
      max_tokens: 200,
      temperature: 0,
    }
    const stream = client.chat.completions.stream({
      ...asked,
      ...{ tool_choice: { type: 'function', function: { name: 'weather' } }, parallel_tool_calls: false },
    })
    const said = (await stream.finalChatCompletion()).choices[0]
    assert.is(said?.finish_reason, 'tool_calls')
    const [call] = said?.message.tool_calls ?? []
    assert.ok(call?.type === 'function' && isPlace.Check(JSON.parse(call.function.arguments)))
    if (said === undefined || call === undefined) return
    const answer = await client.chat.completions.create({
      ...asked,
      messages: [...asked.messages, said.message, { role: 'tool', content: '7 degrees', tool_call_id: call.id }],
      ...{ tool_choice: 'none' as const, max_tokens: 16 },
    })
    assert.is(answer.choices[0]?.message.tool_calls, undefined)
    assert.is(member(cfabOf(answer), 'verifiable'), true)
  }),
)

test(
  'a call that the client runs itself is run once with its arguments',
  within(60_000, async () => {
    const places: unknown[] = []
    const runner = client.chat.completions.runTools({
      ...{ model: MODEL, messages: user('The weather in Paris?'), max_tokens: 200, temperature: 0 },
      tools: [
        {
          type: 'function',
          function: {
            ...{ name: 'weather', description: 'The weather of a place.', parameters: PLACE },
            parse: (text: string): unknown => JSON.parse(text),
            function: async (place: unknown) => {
              places.push(place)
              return '7 degrees'
            },
          },
        },
      ],
      ...{ tool_choice: { type: 'function', function: { name: 'weather' } }, parallel_tool_calls: false },
    })
    await runner.done()
    assert.is(places.length, 1)
    assert.ok(isPlace.Check(places[0]))
  }),
)

test(
  'with a free choice the model reads what it may call, and its answer stays verifiable',
  within(30_000, async () => {
    const model = await client.models.retrieve(MODEL)
    assert.is(member(cfabOf(model), 'tool_format'), 'json')
    const asked = { model: MODEL, messages: user('The weather?'), max_tokens: 16, temperature: 0 }
    const free = await client.chat.completions.create({ ...asked, tools: TOOLS })
    const plain = await client.chat.completions.create({ ...asked, tools: TOOLS, tool_choice: 'none' })
    assert.is(member(cfabOf(free), 'verifiable'), true)
    assert.ok((free.usage?.prompt_tokens ?? 0) > 50 + (plain.usage?.prompt_tokens ?? 0))
  }),
)

test(
  'a bias of 100 says one token for ever, one of -100 never says it',
  within(30_000, async () => {
    const first = async (body: object): Promise<number> => (await idsOf({ prompt: 'Once upon', ...body }))[0] ?? 0
    const likely = await first({})
    assert.is.not(await first({ logit_bias: { [likely]: -100 } }), likely)
    const same = await idsOf({ prompt: 'Once upon', max_tokens: 6, logit_bias: { 300: 100 } })
    assert.equal(same, [300, 300, 300, 300, 300, 300])
    const stray = await apiErrorOf(
      client.completions.create({ model: MODEL, prompt: 'Once', logit_bias: { 4000000: 1 } }),
    )
    assert.equal([stray.code, stray.param], ['CF_JOB_INVALID', 'logit_bias'])
  }),
)

test(
  'token ids are continued as the text that they are, several prompts at once',
  within(30_000, async () => {
    const prompt = [300, 301, 302]
    const ids = await idsOf({ prompt, max_tokens: 4 })
    assert.is(ids.length, 4)
    const body = { model: MODEL, temperature: 0, max_tokens: 4 }
    const answer = await client.completions.create({ ...body, prompt: [prompt, [...prompt, ...ids]] })
    const whole = await client.completions.create({ ...body, prompt, max_tokens: 8 })
    assert.is(answer.choices.map(({ text }) => text).join(''), whole.choices[0]?.text)
    assert.is(answer.usage?.prompt_tokens, 3 + 7)
    const stray = await apiErrorOf(client.completions.create({ ...body, prompt: [4_000_000] }))
    assert.is(stray.code, 'CF_JOB_INVALID')
  }),
)

/** The ids of a greedy completion, as the job's own events tell them. */
async function idsOf(body: object): Promise<readonly number[]> {
  const wish = { model: MODEL, task: 'completion', temperature: 0, max_tokens: 1, ...body }
  const job = await askJson(`${node.address}/api/v1/p2p/intents`, wish)
  assert.is(job.status, 202, job.body)
  const events = await ask(`${node.address}/api/v1/p2p/jobs/${textAt(parsed(job), 'job_id')}/events`)
  return events.body
    .split('\n\n')
    .filter((event) => event.startsWith('event: tokens\n'))
    .flatMap((event) => listAt(JSON.parse(event.slice(event.indexOf('data: ') + 'data: '.length)), 'ids').map(Number))
}

test.run()
