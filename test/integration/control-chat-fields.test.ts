/** Tools, forms of an answer, biases and thinking, as a request writes them and as a job has them. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseChatRequest } from '../../node/control/chat-request.ts'
import { parseIntentRequest } from '../../node/control/intent-request.ts'
import type { JobRequest } from '../../node/runtime/app.ts'
import { ask, withControl } from '../support/control.ts'
import { within } from '../support/within.ts'

const MESSAGES = [{ role: 'user', content: 'What is the weather in Zürich?' }]
const PARAMETERS = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const WEATHER = { type: 'function', function: { name: 'weather', description: 'Of now.', parameters: PARAMETERS } }
const CLOCK = { type: 'function', function: { name: 'clock', strict: true } }
const CALL = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Zürich"}' } }

function jobOf(body: object): JobRequest {
  const [job] = parseChatRequest({ model: 'cfab-tiny', messages: MESSAGES, ...body }, undefined).jobs
  if (job === undefined) throw new Error('a request is at least one job')
  return job
}

const inputOf = (body: object): unknown => jobOf(body).input

/** `code param`, or what was taken. */
function refusalOf(body: object): string {
  try {
    jobOf(body)
    return 'taken'
  } catch (error) {
    const { code, detail } = Object(error)
    return `${code} ${detail?.param}`
  }
}

function assertRefused(
  cases: readonly (readonly [body: object, code: 'BAD_REQUEST' | 'UNSUPPORTED', param: string])[],
): void {
  for (const [place, [body, code, param]] of cases.entries())
    assert.is(refusalOf(body), `CF_CONTROL_${code} ${param}`, `case ${place}`)
}

const nested = (levels: number): object => {
  let schema: object = { type: 'string' }
  for (let level = 0; level < levels; level += 1) schema = { type: 'array', items: schema }
  return schema
}

test('tools reach the job with their names, words and parameters', () => {
  const tools = [
    { name: 'weather', description: 'Of now.', parameters: PARAMETERS },
    { name: 'clock', description: '', parameters: { type: 'object', properties: {} } },
  ]
  const base = { task: 'chat', messages: MESSAGES, tools }
  const asked = { tools: [WEATHER, CLOCK] }
  assert.equal(inputOf(asked), base)
  assert.equal(inputOf({ ...asked, tool_choice: 'auto', parallel_tool_calls: true }), base)
  assert.equal(inputOf({ ...asked, parallel_tool_calls: false }), { ...base, parallelToolCalls: false })
  // A call that is forced begins at once: nothing is thought before it.
  assert.equal(inputOf({ ...asked, tool_choice: 'required' }), { ...base, toolChoice: 'required', thinking: false })
  const named = { type: 'function', function: { name: 'clock' } }
  assert.equal(inputOf({ ...asked, tool_choice: named }), { ...base, toolChoice: { name: 'clock' }, thinking: false })
})

test('a chat that may call nothing has no tools', () => {
  const plain = { task: 'chat', messages: MESSAGES }
  for (const body of [
    { tools: [] },
    { tools: null, tool_choice: 'auto', parallel_tool_calls: false },
    { tool_choice: 'none' },
    { tools: [WEATHER], tool_choice: 'none' },
  ])
    assert.equal(inputOf(body), plain)
})

test('tools that are none are refused where they are wrong', () => {
  const of = (parts: object) => ({ tools: [WEATHER, { type: 'function', function: { name: 'f', ...parts } }] })
  assertRefused([
    [{ tools: {} }, 'BAD_REQUEST', 'tools'],
    [{ tools: [{}] }, 'BAD_REQUEST', 'tools[0].type'],
    [{ tools: [{ type: 'custom' }] }, 'UNSUPPORTED', 'tools[0].type'],
    [{ tools: [{ type: 'function' }] }, 'BAD_REQUEST', 'tools[0].function'],
    [of({ name: 'a b' }), 'BAD_REQUEST', 'tools[1].function.name'],
    [of({ name: 'x'.repeat(65) }), 'BAD_REQUEST', 'tools[1].function.name'],
    [of({ name: 'weather' }), 'BAD_REQUEST', 'tools[1].function.name'],
    [of({ parameters: 'x' }), 'BAD_REQUEST', 'tools[1].function.parameters'],
    [of({ description: 5 }), 'BAD_REQUEST', 'tools[1].function.description'],
    [of({ strict: 'yes' }), 'BAD_REQUEST', 'tools[1].function.strict'],
    [of({ extra: 1 }), 'BAD_REQUEST', 'tools[1].function.extra'],
    [of({ parameters: nested(10_000) }), 'BAD_REQUEST', 'tools'],
    [of({ parameters: { type: 'object', description: 'x'.repeat(65_536) } }), 'BAD_REQUEST', 'tools'],
    [{ tools: Array.from({ length: 129 }, () => WEATHER) }, 'BAD_REQUEST', 'tools'],
    [{ tool_choice: 'required' }, 'BAD_REQUEST', 'tool_choice'],
    [{ tools: [WEATHER], tool_choice: 'any' }, 'BAD_REQUEST', 'tool_choice'],
    [{ tools: [WEATHER], tool_choice: { type: 'allowed_tools' } }, 'UNSUPPORTED', 'tool_choice.type'],
    [
      { tools: [WEATHER], tool_choice: { type: 'function', function: { name: 'clock' } } },
      'BAD_REQUEST',
      'tool_choice.function.name',
    ],
    [{ functions: [{ name: 'f' }] }, 'UNSUPPORTED', 'functions'],
    [{ function_call: { name: 'f' } }, 'UNSUPPORTED', 'function_call'],
    [{ tools: [WEATHER], response_format: { type: 'json_object' } }, 'UNSUPPORTED', 'response_format'],
  ])
})

test('calls and their answers reach the job, and what an answer of ours had beside them is let go', () => {
  const messages = [
    ...MESSAGES,
    { role: 'assistant', content: null, refusal: null, reasoning_content: 'Hm.', parsed: null, tool_calls: [CALL] },
    { role: 'tool', content: [{ type: 'text', text: '7 °C' }], tool_call_id: 'call_1' },
  ]
  const toolCalls = [{ id: 'call_1', name: 'weather', arguments: '{"city":"Zürich"}' }]
  assert.equal(inputOf({ messages }), {
    task: 'chat',
    messages: [
      ...MESSAGES,
      { role: 'assistant', content: '', toolCalls },
      { role: 'tool', content: '7 °C', toolCallId: 'call_1' },
    ],
  })
})

test('biases reach the job in the order of their ids, and those of nothing are none', () => {
  const { logitBias, grammar } = jobOf({ logit_bias: { 900: -100, 5: 0.125, 7: 0 } })
  assert.equal(logitBias, [
    { id: 5, biasMilli: 125 },
    { id: 900, biasMilli: -100_000 },
  ])
  assert.is(grammar, undefined)
  assert.equal(jobOf({ logit_bias: { 7: 0 } }), jobOf({}))
  const many = Object.fromEntries(Array.from({ length: 301 }, (_, id) => [id, 1]))
  assertRefused([
    [{ logit_bias: many }, 'BAD_REQUEST', 'logit_bias'],
    [{ logit_bias: { '05': 1 } }, 'BAD_REQUEST', 'logit_bias.05'],
    [{ logit_bias: { '4294967296': 1 } }, 'BAD_REQUEST', 'logit_bias.4294967296'],
    [{ logit_bias: { '1': '1' } }, 'BAD_REQUEST', 'logit_bias.1'],
    [{ logit_bias: { '1': -100.5 } }, 'BAD_REQUEST', 'logit_bias.1'],
    [{ logit_bias: 'none' }, 'BAD_REQUEST', 'logit_bias'],
  ])
})

test('thinking is switched by the template, or off by the effort', () => {
  const thinkingOf = (body: object): unknown => Object(inputOf(body)).thinking
  assert.is(thinkingOf({}), undefined)
  assert.is(thinkingOf({ chat_template_kwargs: {} }), undefined)
  assert.is(thinkingOf({ chat_template_kwargs: { enable_thinking: true } }), true)
  assert.is(thinkingOf({ chat_template_kwargs: { enable_thinking: false } }), false)
  assert.is(thinkingOf({ reasoning_effort: 'none' }), false)
  assert.is(thinkingOf({ reasoning_effort: 'none', chat_template_kwargs: { enable_thinking: false } }), false)
  const on = { chat_template_kwargs: { enable_thinking: true } }
  assertRefused([
    [{ reasoning_effort: 'high' }, 'UNSUPPORTED', 'reasoning_effort'],
    [{ reasoning_effort: 'much' }, 'BAD_REQUEST', 'reasoning_effort'],
    [{ reasoning_effort: 'none', ...on }, 'BAD_REQUEST', 'reasoning_effort'],
    [{ chat_template_kwargs: { custom: 1 } }, 'BAD_REQUEST', 'chat_template_kwargs.custom'],
    [{ chat_template_kwargs: { enable_thinking: 'no' } }, 'BAD_REQUEST', 'chat_template_kwargs.enable_thinking'],
    [{ ...on, response_format: { type: 'json_object' } }, 'UNSUPPORTED', 'chat_template_kwargs.enable_thinking'],
  ])
})

test('a form of the answer becomes a grammar, and text is none', () => {
  assert.equal(jobOf({ response_format: { type: 'text' } }), jobOf({}))
  assert.match(jobOf({ response_format: { type: 'json_object' } }).grammar ?? '', 'root')
  const described = { name: 'place', description: 'Where.', strict: true, schema: PARAMETERS }
  const strict = jobOf({ response_format: { type: 'json_schema', json_schema: described } })
  assert.match(strict.grammar ?? '', 'city')
  const loose = jobOf({ response_format: { type: 'json_schema', json_schema: { ...described, strict: null } } })
  assert.equal(loose, strict, 'an answer of a schema follows it, strict or not')
  const any = jobOf({ response_format: { type: 'json_schema', json_schema: { name: 'any' } } })
  assert.equal(any, jobOf({ response_format: { type: 'json_object' } }))
})

test('a form that is none is refused where it is wrong, soon', () => {
  const of = (json_schema: unknown) => ({ response_format: { type: 'json_schema', json_schema } })
  const path = 'response_format.json_schema'
  const startMs = performance.now()
  assertRefused([
    [{ response_format: 'json' }, 'BAD_REQUEST', 'response_format'],
    [{ response_format: {} }, 'BAD_REQUEST', 'response_format.type'],
    [{ response_format: { type: 'xml' } }, 'BAD_REQUEST', 'response_format.type'],
    [{ response_format: { type: 'json_object', schema: {} } }, 'BAD_REQUEST', 'response_format.schema'],
    [of(undefined), 'BAD_REQUEST', path],
    [of({ schema: {} }), 'BAD_REQUEST', `${path}.name`],
    [of({ name: 'a b', schema: {} }), 'BAD_REQUEST', `${path}.name`],
    [of({ name: 'x', schema: [] }), 'BAD_REQUEST', `${path}.schema`],
    [of({ name: 'x', strict: 1, schema: {} }), 'BAD_REQUEST', `${path}.strict`],
    [of({ name: 'x', schema: nested(10_000) }), 'BAD_REQUEST', `${path}.schema`],
    [of({ name: 'x', schema: { enum: [] } }), 'BAD_REQUEST', `${path}.schema`],
    [of({ name: 'x', schema: { $ref: '#/$defs/none' } }), 'BAD_REQUEST', `${path}.schema`],
    [
      of({ name: 'x', schema: { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } } }),
      'BAD_REQUEST',
      `${path}.schema`,
    ],
    [
      of({ name: 'x', schema: { enum: Array.from({ length: 50_000 }, (_, index) => `value ${index}`) } }),
      'BAD_REQUEST',
      `${path}.schema`,
    ],
  ])
  assert.ok(performance.now() - startMs < 4_000, `took ${performance.now() - startMs} ms`)
})

test('an intent takes what a chat takes, and a completion token ids', () => {
  const intent = (body: object) => parseIntentRequest({ model: 'cfab-tiny', ...body }, undefined).job
  const asked = { tools: [WEATHER], tool_choice: 'required', logit_bias: { 5: 1 } }
  const { input, logitBias } = jobOf({ ...asked, messages: [{ role: 'user', content: 'hi' }] })
  assert.equal(intent({ ...asked, prompt: 'hi' }).input, input)
  assert.equal(intent({ ...asked, prompt: 'hi' }).logitBias, logitBias)
  assert.equal(intent({ task: 'completion', prompt: [1, 2, 3] }).input, { task: 'completion', prompt: [1, 2, 3] })
  for (const [body, param] of [
    [{ task: 'completion', prompt: 'x', tools: [WEATHER] }, 'tools'],
    [{ task: 'embedding', texts: ['x'], logit_bias: { 5: 1 } }, 'logit_bias'],
  ] as const)
    assert.throws(
      () => intent(body),
      (error: unknown) => Object(error).detail?.param === param,
    )
})

test(
  'tools and schemas ten thousand levels deep are refused over HTTP, and the server goes on',
  within(10_000, () =>
    withControl(async ({ url, app }) => {
      const deep = `${'{"items":'.repeat(10_000)}1${'}'.repeat(10_000)}`
      const head = '{"model":"cfab-tiny","messages":[{"role":"user","content":"x"}]'
      for (const body of [
        `${head},"tools":[{"type":"function","function":{"name":"f","parameters":${deep}}}]}`,
        `${head},"response_format":{"type":"json_schema","json_schema":{"name":"x","schema":${deep}}}}`,
        `${head},"logit_bias":${deep}}`,
        `${head},"tool_choice":${deep}}`,
      ]) {
        const headers = { 'content-type': 'application/json' }
        const reply = await ask(`${url}/v1/chat/completions`, { method: 'POST', headers, body })
        assert.is(reply.status, 400, reply.body.slice(0, 200))
      }
      assert.is(app.requests.length, 0)
      assert.is((await ask(`${url}/healthz`)).status, 200)
    }),
  ),
)

test.run()
