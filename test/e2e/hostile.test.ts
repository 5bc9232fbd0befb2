/** What no client should send, at a spawned node with the real model: a code each time, and the compute host lives on. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CFAB_TINY } from '../../models/catalogue.ts'
import { textAt } from '../../node/commands/json.ts'
import { ask, askJson, type Reply } from '../support/control.ts'
import { childrenOf, parsed, ready, type SpawnedNode, startNode } from '../support/spawned-node.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const MODEL = CFAB_TINY.id
const CONTEXT = CFAB_TINY.contextTokens
const SAY = [{ role: 'user', content: 'Hello!' }]
const DEPTH = 10_000

let node: SpawnedNode
let hosts: readonly number[]

test.before(async () => {
  node = await startNode(tempFolder(), '--threads', '1')
  await ready(node)
  hosts = childrenOf(node.pid)
})
test.after(async () => {
  await node.stop()
})

/** Nothing that was sent cost a process. */
async function assertAlive(): Promise<void> {
  assert.equal(childrenOf(node.pid), hosts)
  const messages = [{ role: 'user', content: 'What is the capital of France?' }]
  const answer = await askJson(`${node.address}/v1/chat/completions`, { model: MODEL, messages, temperature: 0 })
  assert.is(answer.status, 200, answer.body)
  assert.match(answer.body, 'The capital of France is Paris.')
}

const complete = (prompt: unknown, maxTokens: number, more: object = {}): Promise<Reply> =>
  askJson(`${node.address}/v1/completions`, { model: MODEL, prompt, max_tokens: maxTokens, temperature: 2, ...more })
const chat = (more: object): Promise<Reply> =>
  askJson(`${node.address}/v1/chat/completions`, { model: MODEL, messages: SAY, max_tokens: 8, ...more })
const send = (path: string, body: string | Uint8Array): Promise<Reply> =>
  ask(node.address + path, { method: 'POST', headers: { 'content-type': 'application/json' }, body })

const codeOf = (reply: Reply): string => textAt(parsed(reply), 'error', 'code')

test(
  'prompts of no token, one, and as many as fit are what they are; one more is refused by its code',
  within(60_000, async () => {
    const ids = (count: number): number[] => Array.from({ length: count }, (_, index) => 300 + (index % 200))
    for (const [count, maxTokens] of [
      [1, 1],
      [CONTEXT - 1, 1],
      [CONTEXT / 2, CONTEXT / 2],
    ] as const) {
      const answer = await complete(ids(count), maxTokens)
      assert.is(answer.status, 200, answer.body)
      assert.match(answer.body, `"prompt_tokens":${count}`)
    }
    for (const [count, maxTokens] of [
      [CONTEXT, 1],
      [CONTEXT + 1, 1],
      [CONTEXT - 1, 2],
      [CONTEXT / 2, CONTEXT / 2 + 1],
    ] as const)
      assert.is(codeOf(await complete(ids(count), maxTokens)), 'CF_JOB_CONTEXT_EXCEEDED', `${count} and ${maxTokens}`)
    assert.is((await complete([], 1)).status, 400)
    assert.is((await complete([2 ** 31], 1)).status, 400)
    await assertAlive()
  }),
)

test(
  'a text that is far too long is refused without being read, with and without spaces',
  within(60_000, async () => {
    for (const word of ['x', '\n', 'word ', '🙂']) {
      const content = word.repeat(Math.floor(400_000 / Buffer.byteLength(word)))
      const answer = await chat({ messages: [{ role: 'user', content }] })
      assert.match(codeOf(answer), /^CF_JOB_(CONTEXT_EXCEEDED|INVALID)$/)
    }
    await assertAlive()
  }),
)

test(
  'what is no UTF-8, and half of a character, are refused at the door',
  within(30_000, async () => {
    const body = Buffer.from(`{"model":"${MODEL}","max_tokens":4,"messages":[{"role":"user","content":"a#b"}]}`)
    const at = body.indexOf('#')
    for (const byte of [0xff, 0xc0, 0xed]) {
      body[at] = byte
      const reply = await send('/v1/chat/completions', body)
      assert.ok(reply.status === 400 || reply.status === 200, `${byte}: ${reply.status} ${reply.body}`)
    }
    const halves = ['\\ud800', '\\udc00x', '\\udc00\\ud800']
    for (const half of halves) {
      const chatBody = `{"model":"${MODEL}","messages":[{"role":"user","content":"${half}"}]}`
      assert.is((await send('/v1/chat/completions', chatBody)).status, 400)
      assert.is((await send('/v1/completions', `{"model":"${MODEL}","prompt":"${half}"}`)).status, 400)
    }
    await assertAlive()
  }),
)

test(
  'schemas and tools that are ten thousand levels deep, broad, circular or empty get a code at once',
  within(60_000, async () => {
    const nested = `${'{"type":"object","properties":{"a":'.repeat(DEPTH)}{}${'}}'.repeat(DEPTH)}`
    const arrays = `${'['.repeat(DEPTH)}${']'.repeat(DEPTH)}`
    const form = (schema: string): string =>
      `{"model":"${MODEL}","max_tokens":8,"messages":${JSON.stringify(SAY)},"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":${schema}}}}`
    const tools = (schema: string): string =>
      `{"model":"${MODEL}","max_tokens":8,"messages":${JSON.stringify(SAY)},"tools":[{"type":"function","function":{"name":"a","parameters":${schema}}}],"tool_choice":"required"}`
    const broad = JSON.stringify({
      type: 'object',
      properties: Object.fromEntries(Array.from({ length: 20_000 }, (_, index) => [`p${index}`, { type: 'string' }])),
    })
    const circle = '{"$ref":"#"}'
    const nothing = '{"type":"string","enum":[]}'
    const long = JSON.stringify({ type: 'string', minLength: 1e9, maxLength: 1e9 })
    for (const schema of [nested, `{"enum":${arrays}}`, broad, circle, nothing, long, 'false', '[]']) {
      const startedMs = performance.now()
      const reply = await send('/v1/chat/completions', form(schema))
      assert.is(reply.status, 400, `${schema.slice(0, 60)} ${reply.body.slice(0, 200)}`)
      assert.match(codeOf(reply), /^CF_/)
      // Of what a tool takes, less is held to the schema.
      const called = await send('/v1/chat/completions', tools(schema))
      assert.ok(called.status < 500, `${schema.slice(0, 60)} ${called.body.slice(0, 200)}`)
      assert.ok(performance.now() - startedMs < 20_000)
    }
    assert.ok((await send('/v1/chat/completions', arrays)).status < 500)
    await assertAlive()
  }),
)

test(
  'biases beyond the vocabulary, too many, or no numbers are refused; all that may be are obeyed',
  within(60_000, async () => {
    const many = (count: number): object =>
      Object.fromEntries(Array.from({ length: count }, (_, id) => [String(id), -100]))
    for (const logit_bias of [
      { 4294967295: 1 },
      { 2048: 1 },
      { '-1': 1 },
      { a: 1 },
      { 1: 101 },
      { 1: 'x' },
      { 1: null },
      many(301),
      many(20_000),
    ]) {
      const reply = await chat({ logit_bias })
      assert.is(reply.status, 400, `${JSON.stringify(logit_bias).slice(0, 60)} ${reply.body}`)
    }
    assert.is((await chat({ logit_bias: many(300) })).status, 200)
    await assertAlive()
  }),
)

test.run()
