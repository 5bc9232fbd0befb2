/** Bodies that no honest client sends: every answer is coded, nothing becomes a job, the server goes on. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isErrorCode } from '../../core/errors.ts'
import { parseChatRequest } from '../../node/control/chat-request.ts'
import { ADMIN_KEY, ask, askJson, type Reply, withControl } from '../support/control.ts'
import { type SeededRandom, seededRandom, testSeed } from '../support/seeded-random.ts'
import { within } from '../support/within.ts'

const CHAT = '/v1/chat/completions'
const INTENTS = '/api/v1/p2p/intents'
const errorOf = ({ body }: Reply): Record<string, unknown> => Object(Object(JSON.parse(body)).error)

function assertCoded(reply: Reply, what: string): void {
  const { message, type, param, code, ...more } = errorOf(reply)
  assert.ok(typeof message === 'string' && typeof type === 'string' && isErrorCode(String(code)), what)
  assert.ok(param === null || typeof param === 'string', what)
  assert.equal(more, {}, what)
  assert.not.match(reply.body, /node_modules|at \w+ \(|\.ts:/, what)
}

test(
  'broken JSON, wrong types and oversized bodies are refused with their code',
  within(8_000, () =>
    withControl(async ({ url, app }) => {
      const nested = `{"model":"cfab-tiny","messages":${'['.repeat(200_000)}${']'.repeat(200_000)}}`
      const nestedStop = `{"model":"cfab-tiny","messages":[{"role":"user","content":"x"}],"stop":${'['.repeat(200_000)}${']'.repeat(200_000)}}`
      const bodies: readonly (readonly [string | Uint8Array, number, string])[] = [
        ['', 400, 'CF_CONTROL_BAD_REQUEST'],
        ['{', 400, 'CF_CONTROL_BAD_REQUEST'],
        ['null', 400, 'CF_CONTROL_BAD_REQUEST'],
        ['[]', 400, 'CF_CONTROL_BAD_REQUEST'],
        ['"x"', 400, 'CF_CONTROL_BAD_REQUEST'],
        ['{"__proto__":{"model":"cfab-tiny"}}', 400, 'CF_CONTROL_BAD_REQUEST'],
        [Uint8Array.of(0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d), 400, 'CF_CONTROL_BAD_REQUEST'],
        [nested, 400, 'CF_CONTROL_BAD_REQUEST'],
        [nestedStop, 400, 'CF_CONTROL_BAD_REQUEST'],
        [JSON.stringify({ model: 'x'.repeat(1_048_577) }), 413, 'CF_CONTROL_BODY_TOO_LARGE'],
      ]
      for (const [body, status, code] of bodies) {
        const reply = await ask(url + CHAT, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
        const what = String(body).slice(0, 40)
        assertCoded(reply, what)
        assert.equal([reply.status, errorOf(reply)['code']], [status, code], what)
      }
      for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'x']) {
        const reply = await ask(url + CHAT, { method: 'POST', headers: { 'content-type': type }, body: '{}' })
        assert.equal([reply.status, errorOf(reply)['param']], [400, 'content-type'], type)
      }
      assert.is(app.requests.length, 0)
    }),
  ),
)

test(
  'every parameter that is known and not offered is refused by name',
  within(5_000, async () => {
    const base = { model: 'cfab-tiny', messages: [{ role: 'user', content: 'x' }] }
    const asked: Readonly<Record<string, unknown>> = {
      ...{
        best_of: 2,
        functions: [{}],
        function_call: 'x',
        modalities: ['audio'],
        audio: {},
      },
      ...{
        prediction: {},
        reasoning_effort: 'low',
        verbosity: 'low',
        store: true,
      },
      ...{ service_tier: 'flex', web_search_options: {}, moderation: {} },
    }
    for (const [name, value] of Object.entries(asked)) {
      try {
        parseChatRequest({ ...base, [name]: value }, undefined)
        assert.unreachable(`${name} was taken`)
      } catch (error) {
        assert.equal([Object(error).code, Object(error).detail?.param], ['CF_CONTROL_UNSUPPORTED', name])
      }
    }
  }),
)

test(
  'hostile messages are refused where they are wrong',
  within(5_000, async () => {
    const cases: readonly (readonly [unknown, string])[] = [
      [undefined, 'messages'],
      [[], 'messages'],
      [{}, 'messages'],
      [Array.from({ length: 257 }, () => ({ role: 'user', content: 'x' })), 'messages'],
      [['x'], 'messages[0]'],
      [[{ role: 'user' }], 'messages[0].content'],
      [[{ role: 'owner', content: 'x' }], 'messages[0].role'],
      [[{ role: 'function', content: 'x', name: 'f' }], 'messages[0].role'],
      [[{ role: 'tool', content: 'x' }], 'messages[0].tool_call_id'],
      [[{ role: 'tool', content: 'x', tool_call_id: 'call_1' }], 'messages[0].tool_call_id'],
      [[{ role: 'user', content: 'x', tool_call_id: 'call_1' }], 'messages[0].tool_call_id'],
      [[{ role: 'user', content: 'x', tool_calls: [CALL] }], 'messages[0].tool_calls'],
      [[{ role: 'assistant', content: null }], 'messages[0].content'],
      [[{ role: 'assistant', tool_calls: Array.from({ length: 33 }, () => CALL) }], 'messages[0].tool_calls'],
      [[{ role: 'assistant', tool_calls: [{ ...CALL, type: 'custom' }] }], 'messages[0].tool_calls[0].type'],
      [[{ role: 'assistant', tool_calls: [{ ...CALL, id: 'x'.repeat(65) }] }], 'messages[0].tool_calls[0].id'],
      [[{ role: 'assistant', tool_calls: [{ ...CALL, function: 'f' }] }], 'messages[0].tool_calls[0].function'],
      [
        [{ role: 'assistant', tool_calls: [{ ...CALL, function: { name: 'f', arguments: {} } }] }],
        'messages[0].tool_calls[0].function.arguments',
      ],
      [[{ role: 'assistant', content: null, function_call: {} }], 'messages[0].function_call'],
      [[{ role: 'user', content: [{ type: 'image_url', image_url: {} }] }], 'messages[0].content[0].type'],
      [[{ role: 'user', content: [{ type: 'text', text: 5 }] }], 'messages[0].content[0].text'],
      [[{ role: 'user', content: 'x', name: 'bob' }], 'messages[0].name'],
      [[{ role: 'user', content: 'x', extra: 1 }], 'messages[0].extra'],
      [[{ role: 'assistant', content: null, tool_calls: [{}] }], 'messages[0].tool_calls[0].function'],
    ]
    for (const [messages, param] of cases) {
      try {
        parseChatRequest({ model: 'cfab-tiny', messages }, undefined)
        assert.unreachable(param)
      } catch (error) {
        assert.is(Object(error).detail?.param, param)
      }
    }
  }),
)

test(
  'a thousand random bodies are answered with a code or a job, never with a 500',
  within(30_000, () =>
    withControl(async ({ url }) => {
      const random = seededRandom(testSeed())
      for (let round = 0; round < 1_000; round += 1) {
        const path =
          [
            ...[CHAT, '/v1/completions', '/v1/embeddings', INTENTS],
            ...['/api/v1/credits/mint', '/api/v1/credits/spend', '/api/v1/credits/transfer'],
          ][random.below(7)] ?? CHAT
        const body = randomFields(random)
        const reply = await askJson(url + path, body, { authorization: `Bearer ${ADMIN_KEY}` })
        if (reply.status >= 400) assertCoded(reply, JSON.stringify(body))
        assert.ok(reply.status < 500, `${reply.status} ${JSON.stringify(body)}`)
      }
      assert.is((await ask(`${url}/healthz`)).status, 200)
    }),
  ),
)

const CALL = { id: 'call_1', type: 'function', function: { name: 'f', arguments: '{}' } }
const NAMES = [
  'model',
  'messages',
  'prompt',
  'temperature',
  'top_k',
  'max_tokens',
  'stream',
  'cfab',
  'seed',
  'replicas',
  'max_budget',
  'amount',
  'reason',
  'owner_id',
  'from',
  'to',
  'nonce',
  'dry_run',
  'verify',
  'stop',
  ...['n', 'top_p', 'frequency_penalty', 'logprobs', 'top_logprobs', 'echo', 'best_of', 'stream_options'],
  ...['input', 'encoding_format', 'dimensions', 'task', 'texts'],
  ...['tools', 'tool_choice', 'parallel_tool_calls', 'response_format', 'logit_bias', 'reasoning_effort'],
  ...['chat_template_kwargs', 'type', 'function', 'json_schema', 'schema', 'name', 'parameters', 'tool_calls'],
  'x',
]

function randomFields(random: SeededRandom): Record<string, unknown> {
  const fields: Record<string, unknown> =
    random.below(2) === 0 ? { model: 'cfab-tiny', messages: [{ role: 'user', content: 'hi' }] } : {}
  for (let count = random.below(5); count > 0; count -= 1)
    fields[NAMES[random.below(NAMES.length)] ?? 'x'] = randomValue(random, 3)
  return fields
}

function randomValue(random: SeededRandom, depth: number): unknown {
  const scalars = [
    null,
    true,
    false,
    0,
    1,
    -1,
    0.5,
    1e308,
    40,
    '',
    '1',
    'after',
    '0.5',
    'cfab-tiny',
    'ok\u0000\u202e',
    'x'.repeat(300),
  ]
  const kind = random.below(depth > 0 ? 6 : 4)
  if (kind < 4) return scalars[random.below(scalars.length)]
  const items = Array.from({ length: random.below(4) }, () => randomValue(random, depth - 1))
  return kind === 4 ? items : Object.fromEntries(items.map((item) => [NAMES[random.below(NAMES.length)] ?? 'x', item]))
}

test.run()
