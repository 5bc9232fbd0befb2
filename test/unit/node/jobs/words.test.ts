import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { idsToBytes } from '../../../../core/codec/bytes.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { isPayloadOf, type Payload, PLAIN, payloadCodec, plainMessage } from '../../../../core/log/intent.ts'
import type { ChatMessage } from '../../../../models/backend.ts'
import { nesting, parseTools } from '../../../../node/jobs/tools.ts'
import { idsIn, renderedMessages, renderOptions, type Words, wordsIn } from '../../../../node/jobs/words.ts'
import type { JobInput } from '../../../../node/runtime/app.ts'
import { FAKE_CHAT, fakeModel } from '../../../support/fake-models.ts'
import { intentOfAlice } from '../../../support/log-swarm.ts'
import { within } from '../../../support/within.ts'

const WEATHER = { name: 'weather', description: 'Of now.', parameters: { type: 'object', properties: {} } }
const CALL = { id: 'call_1', name: 'weather', arguments: '{"city":"Bern"}' }
const MESSAGES: readonly ChatMessage[] = [
  { role: 'user', content: 'The weather?' },
  { role: 'assistant', content: '', toolCalls: [CALL] },
  { role: 'tool', content: '7 degrees', toolCallId: 'call_1' },
]
const CHAT: JobInput = { task: 'chat', messages: MESSAGES, tools: [WEATHER], thinking: false }
const WORDS: Words = { ...PLAIN, messages: [plainMessage('user', 'hello')], texts: [] }

function refusalOf(work: () => unknown): unknown {
  try {
    return work()
  } catch (error) {
    return Object(error).code
  }
}

test('what a caller says of a chat comes out of its payload as it went in', () => {
  const words = wordsIn(CHAT)
  const salt = new Uint8Array(32)
  const payload: Payload = { ...PLAIN, ...words, salt, logprobs: 0 }
  const decoded = payloadCodec.decode(payloadCodec.encode(payload))
  assert.ok(decoded.action === 'accept')
  if (decoded.action !== 'accept') return
  assert.ok(isPayloadOf(intentOfAlice(), decoded.value))
  assert.equal(renderedMessages(decoded.value), MESSAGES)
  assert.equal(renderOptions(decoded.value), { tools: [WEATHER], thinking: false })
  assert.equal(renderOptions(wordsIn({ task: 'chat', messages: MESSAGES, thinking: true })), { thinking: true })
  assert.equal(renderOptions(wordsIn({ task: 'chat', messages: MESSAGES, tools: [] })), {})
})

test('words that no payload can carry are refused', () => {
  const long = 'x'.repeat(LIMITS.toolNameBytesMax + 1)
  const inputs: readonly JobInput[] = [
    { task: 'chat', messages: [] },
    { task: 'chat', messages: Array.from({ length: 257 }, () => ({ role: 'user', content: 'x' }) as const) },
    { task: 'chat', messages: [{ role: 'user', content: '\ud800' }] },
    { task: 'chat', messages: [{ role: 'tool', content: '', toolCallId: long }] },
    { task: 'chat', messages: [{ role: 'assistant', content: '', toolCalls: [{ ...CALL, id: long }] }] },
    { task: 'chat', messages: [{ role: 'assistant', content: '', toolCalls: [{ ...CALL, name: '\udfff' }] }] },
    {
      task: 'chat',
      messages: [{ role: 'assistant', content: '', toolCalls: [{ ...CALL, arguments: 'x'.repeat(65_537) }] }],
    },
    { task: 'chat', messages: [{ role: 'assistant', content: '', toolCalls: Array.from({ length: 33 }, () => CALL) }] },
    { task: 'chat', messages: MESSAGES, tools: [{ ...WEATHER, description: 'x'.repeat(65_536) }] },
    { task: 'chat', messages: MESSAGES, tools: [{ ...WEATHER, name: long }] },
    { task: 'completion', prompt: [] },
    { task: 'completion', prompt: Array.from({ length: 131_073 }, () => 1) },
  ]
  for (const [place, input] of inputs.entries())
    assert.is(
      refusalOf(() => wordsIn(input)),
      'CF_JOB_INVALID',
      `input ${place}`,
    )
})

test('tools of a peer are tools or none at all', () => {
  assert.equal(parseTools(''), [])
  assert.equal(parseTools(JSON.stringify([WEATHER])), [WEATHER])
  const deep = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`
  const tool = (parameters: string): string => `[{"name":"f","description":"","parameters":${parameters}}]`
  assert.ok(parseTools(tool(deep(LIMITS.toolsDepthMax - 2))) !== undefined)
  for (const text of [
    ...['x', '[', '{}', '[]', '[1]', '[null]', '[{"name":"f"}]', 'null', '"', '[{"name":""}]'],
    tool('[]'),
    tool('"x"'),
    tool(deep(LIMITS.toolsDepthMax - 1)),
    tool(deep(10_000)),
    '[{"name":"f","description":"","parameters":{},"extra":1}]',
    '[{"name":5,"description":"","parameters":{}}]',
    JSON.stringify(Array.from({ length: 129 }, () => WEATHER)),
  ])
    assert.is(parseTools(text), undefined, text.slice(0, 60))
})

test('brackets inside of strings are no nesting', () => {
  assert.is(nesting('[{"a":[]}]'), 3)
  assert.is(nesting('["[[[[{{{{", "\\"[["]'), 1)
  assert.is(nesting('"\\\\"[[]]'), 2)
  assert.is(nesting(''), 0)
})

test('token ids beyond the vocabulary are refused, and so are bytes that are none', () => {
  assert.equal([...idsIn({ ...WORDS, promptIds: idsToBytes([0, 7]) }, 8)], [0, 7])
  for (const promptIds of [idsToBytes([8]), Uint8Array.of(1, 2, 3)])
    assert.is(
      refusalOf(() => idsIn({ ...WORDS, promptIds }, 8)),
      'CF_JOB_INVALID',
    )
})

test(
  'a prompt that was read is read again only with the same tools and the same thinking',
  within(5_000, async () => {
    const model = await fakeModel(FAKE_CHAT)
    const tools = JSON.stringify([WEATHER])
    const forms: readonly Partial<Words>[] = [{}, { tools }, { thinking: 'off' }, { tools, thinking: 'off' }]
    const lengths: number[] = []
    for (const _ of [1, 2]) {
      for (const form of forms) lengths.push((await model.promptIds('chat', { ...WORDS, ...form })).length)
    }
    assert.is(new Set(lengths).size, forms.length)
    assert.equal(lengths.slice(0, forms.length), lengths.slice(forms.length))
    assert.equal([...(await model.promptIds('completion', { ...WORDS, promptIds: idsToBytes([5, 6]) }))], [5, 6])
  }),
)

test.run()
