/** What a chat or completion asks for beyond its words, from HTTP through payload and worker to the engine, over a whole daemon. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { GenerateRequest } from '../../models/backend.ts'
import { listAt, member, textAt } from '../../node/commands/json.ts'
import { askJson, type Reply } from '../support/control.ts'
import { chat, type FakeDaemon, settledJob, withFakeDaemon } from '../support/fake-daemon.ts'
import { parsed } from '../support/spawned-node.ts'
import { within } from '../support/within.ts'

type Heard = { readonly prompts: string[]; readonly requests: GenerateRequest[] }

/** A daemon whose engine remembers what it was asked, and says the same to everything. */
async function withEars(
  says: string | undefined,
  work: (daemon: FakeDaemon, heard: Heard) => Promise<void>,
): Promise<void> {
  const heard: Heard = { prompts: [], requests: [] }
  const answerOf = (prompt: string): string | undefined => {
    heard.prompts.push(prompt)
    return says
  }
  const faultOf = (request: GenerateRequest): undefined => void heard.requests.push(request)
  await withFakeDaemon({ faultOf, engine: { answerOf, toolFormat: 'hermes' } }, (daemon) => work(daemon, heard))
}

const WEATHER = { name: 'weather', description: 'Of now.', parameters: { type: 'object', properties: {} } }
const TOOLS = [{ type: 'function', function: WEATHER }]
const CALL = { id: 'call_1', type: 'function', function: { name: 'weather', arguments: '{"city":"Bern"}' } }

function verifiable(reply: Reply): unknown {
  assert.is(reply.status, 200, reply.body)
  return member(parsed(reply), 'cfab', 'verifiable')
}

test(
  'tools are read by the model, free choice stays verifiable, and control tokens are shown',
  within(15_000, () =>
    withEars('I do not know.', async ({ url }, heard) => {
      assert.is(verifiable(await chat(url, { tools: TOOLS })), true)
      const [prompt = ''] = heard.prompts
      assert.match(prompt, JSON.stringify([WEATHER]))
      assert.is(heard.requests[0]?.showControl, true)
      assert.is(heard.requests[0]?.sampling.kind, 'gumbel-v1')
      assert.is(verifiable(await chat(url, {})), true)
      assert.is(heard.requests[1]?.showControl, undefined)
    }),
  ),
)

test(
  'calls and what tools answered are read by the model too',
  within(15_000, () =>
    withEars('It is cold.', async ({ url }, heard) => {
      const messages = [
        { role: 'user', content: 'The weather?' },
        { role: 'assistant', content: null, tool_calls: [CALL] },
        { role: 'tool', content: '7 degrees', tool_call_id: 'call_1' },
      ]
      assert.is(verifiable(await chat(url, { messages, tools: TOOLS })), true)
      const [prompt = ''] = heard.prompts
      assert.match(prompt, JSON.stringify([{ id: 'call_1', name: 'weather', arguments: '{"city":"Bern"}' }]))
      assert.match(prompt, 'call_1: 7 degrees')
    }),
  ),
)

test(
  'a form, a forced call and biases reach the engine with a sampler that nobody replays, and the answer says so',
  within(15_000, () =>
    withEars('{}', async ({ url }, heard) => {
      const response_format = { type: 'json_object' }
      assert.is(verifiable(await chat(url, { response_format })), false)
      assert.is(verifiable(await chat(url, { tools: TOOLS, tool_choice: 'required' })), false)
      assert.is(verifiable(await chat(url, { logit_bias: { 40: -100, 30: 0.5 } })), false)
      const [formed, called, biased] = heard.requests
      assert.match(formed?.grammar ?? '', 'root')
      assert.match(called?.grammar ?? '', 'root')
      assert.is(biased?.grammar, undefined)
      assert.equal(
        heard.requests.map(({ sampling }) => sampling.kind),
        ['llama', 'llama', 'llama'],
      )
      assert.equal(Object(biased?.sampling).logitBias, [
        [30, 0.5],
        [40, -100],
      ])
    }),
  ),
)

test(
  'a job with a form is settled as unverifiable, and its receipt is valid',
  within(15_000, () =>
    withEars('{}', async ({ url }) => {
      const reply = await chat(url, { response_format: { type: 'json_object' }, cfab: { replicas: 3 } })
      assert.is(verifiable(reply), false)
      const { facts } = await settledJob(url, textAt(parsed(reply), 'cfab', 'job_id'))
      assert.is(facts.settlement.assurance, 'unverifiable')
    }),
  ),
)

test(
  'thinking is part of the prompt, and of what a repeated request is the same by',
  within(15_000, () =>
    withEars('Yes.', async ({ url }, heard) => {
      const key = { 'Idempotency-Key': 'once' }
      const off = { chat_template_kwargs: { enable_thinking: false } }
      assert.is((await chat(url, off, key)).status, 200)
      assert.match(heard.prompts[0] ?? '', '<think>\n</think>')
      assert.is((await chat(url, off, key)).status, 200)
      assert.is((await chat(url, {}, key)).status, 409)
      assert.is((await chat(url, { reasoning_effort: 'none' })).status, 200)
      assert.is((await chat(url, {})).status, 200)
      assert.not.match(heard.prompts.at(-1) ?? '', '<think>')
    }),
  ),
)

test(
  'token ids are a prompt as they are, and those of no token are refused',
  within(15_000, () =>
    withEars(undefined, async ({ url }, heard) => {
      const complete = (body: object) =>
        askJson(`${url}/v1/completions`, { model: 'cfab-tiny', max_tokens: 4, ...body })
      const whole = await complete({ prompt: [[2, 0, 257], [9]] })
      assert.is(whole.status, 200, whole.body)
      assert.equal(heard.requests.map(({ promptIds }) => [...promptIds]).sort(), [[2, 0, 257], [9]])
      assert.is(member(parsed(whole), 'usage', 'prompt_tokens'), 4)
      assert.is(listAt(parsed(whole), 'choices').length, 2)
      assert.is(member(listAt(member(parsed(whole), 'cfab'), 'choices')[0], 'verifiable'), true)
      const stray = await complete({ prompt: [2, 258] })
      assert.equal([stray.status, textAt(parsed(stray), 'error', 'code')], [400, 'CF_JOB_INVALID'])
      const bias = await complete({ prompt: [2], logit_bias: { 258: 1 } })
      assert.equal([bias.status, textAt(parsed(bias), 'error', 'param')], [400, 'logit_bias'])
    }),
  ),
)

test(
  'a quote counts the tools that the model reads',
  within(15_000, () =>
    withEars(undefined, async ({ url }) => {
      const quoted = async (body: object): Promise<number> => {
        const wish = { model: 'cfab-tiny', prompt: 'Hello', dry_run: true, ...body }
        return Number(member(parsed(await askJson(`${url}/api/v1/p2p/intents`, wish)), 'prompt_tokens'))
      }
      const [plain, tooled] = [await quoted({}), await quoted({ tools: TOOLS })]
      assert.ok(tooled >= plain + JSON.stringify([WEATHER]).length, `${plain} and ${tooled}`)
      assert.is(await quoted({ tools: TOOLS, tool_choice: 'none' }), plain)
    }),
  ),
)

test(
  'a model whose template knows no tools is told of none, but can be made to call one',
  within(15_000, () =>
    withFakeDaemon({}, async ({ url }) => {
      const reply = await chat(url, { tools: TOOLS })
      assert.is(reply.status, 400, reply.body)
      assert.equal(
        [textAt(parsed(reply), 'error', 'code'), textAt(parsed(reply), 'error', 'param')],
        ['CF_MODEL_UNSUPPORTED', 'tools'],
      )
      assert.is((await chat(url, { tools: TOOLS, tool_choice: 'required' })).status, 200)
    }),
  ),
)

test.run()
