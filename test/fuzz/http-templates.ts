/** Valid requests of every kind that the control plane serves: what the HTTP fuzzer changes. */
import { concatBytes, u32be } from '../../core/codec/bytes.ts'
import { sealAs } from '../../core/identity/envelope.ts'
import { policyTableCodec } from '../../core/verification/policy-table.ts'
import { LogSwarm, MINT_KEY } from '../support/log-swarm.ts'
import { digestNamed } from '../support/people.ts'
import { ENDS, settledRun } from '../support/settled-job.ts'
import type { Json } from './json.ts'

export type Template = {
  readonly method: string
  readonly path: string
  readonly headers?: Readonly<Record<string, string>>
  readonly json?: Json
  readonly bytes?: Uint8Array
}

const MODEL = 'cfab-tiny'
const EMBEDDER = 'use-lite-en'
const MESSAGES = [
  { role: 'system', content: 'You are brief.' },
  { role: 'user', content: 'Hello' },
]
const CHAT = { model: MODEL, messages: MESSAGES, max_tokens: 4, temperature: 0.7, seed: 7, n: 1, stop: ['end'] }

const TOOLS = [{ type: 'function', function: { name: 'look', parameters: { type: 'object', properties: {} } } }]
const LOOKED = [
  ...MESSAGES,
  {
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'c', type: 'function', function: { name: 'look', arguments: '{}' } }],
  },
  { role: 'tool', content: 'a fox', tool_call_id: 'c' },
]
const SCHEMA = { type: 'object', properties: { legs: { type: 'integer' } }, required: ['legs'] }

/** What is true of the daemon that is asked. */
export type Known = { readonly jobId: string; readonly user: string; readonly adminKey: string }

export function templatesOf({ jobId, user, adminKey }: Known): readonly Template[] {
  const admin = { authorization: `Bearer ${adminKey}` }
  const get = (path: string): Template => ({ method: 'GET', path })
  const post = (path: string, json: Json, headers = {}): Template => ({ method: 'POST', path, json, headers })
  const job = `/api/v1/p2p/jobs/${jobId}`
  return [
    ...['/healthz', '/readyz', '/metrics', '/openapi.json', '/api/v1/status', '/v1/models', `/v1/models/${MODEL}`].map(
      get,
    ),
    ...['/api/v1/p2p/peers', '/api/v1/p2p/genesis', '/api/v1/p2p/quorum?limit=5', '/api/v1/p2p/jobs?limit=3'].map(get),
    ...[job, `${job}/events`, `${job}/timeline`, `${job}/explain`, `/api/v1/p2p/receipts/${jobId}`].map(get),
    ...['/api/v1/credits/audit', `/api/v1/credits/transactions/list?job_id=${jobId}&limit=2`].map(get),
    ...[`/api/v1/credits/accounts/user/${user}`].map(get),
    { method: 'DELETE', path: job },
    post('/v1/chat/completions', CHAT),
    post('/v1/chat/completions', { ...CHAT, stream: true, stream_options: { include_usage: true } }),
    post('/v1/chat/completions', { ...CHAT, top_p: 0.9, presence_penalty: 0.1, logprobs: true, top_logprobs: 2 }),
    post('/v1/chat/completions', { ...CHAT, messages: LOOKED, tools: TOOLS, tool_choice: 'required' }),
    post('/v1/chat/completions', { ...CHAT, tools: TOOLS, tool_choice: 'none', logit_bias: { 5: -100 } }),
    post('/v1/chat/completions', {
      ...CHAT,
      response_format: { type: 'json_schema', json_schema: { name: 'animal', schema: SCHEMA } },
      chat_template_kwargs: { enable_thinking: false },
    }),
    post('/v1/completions', { model: MODEL, prompt: [[5, 6], [7]], max_tokens: 2 }),
    post('/v1/completions', { model: MODEL, prompt: ['Once', 'Twice'], max_tokens: 3, logprobs: 1, echo: false }),
    post('/v1/embeddings', { model: EMBEDDER, input: ['one', 'two'], encoding_format: 'float' }),
    post('/api/v1/p2p/intents', { model: MODEL, prompt: 'Hello', max_tokens: 4, replicas: 1, verify: 'after' }),
    post('/api/v1/p2p/intents', {
      model: MODEL,
      task: 'completion',
      prompt: 'Hello',
      dry_run: true,
      max_budget: '1.5',
    }),
    post('/api/v1/p2p/simulate', { peers: 8, jobs: 2, replicas: 1, seed: 7, faults: { crash: 0.1, liar: 0.05 } }),
    post('/api/v1/credits/mint', { account_type: 'user', account_id: user, amount: '1.5', reason: 'gift' }, admin),
    post('/api/v1/credits/spend', { owner_id: user, amount: '0.000001', reason: 'test' }, admin),
    post('/api/v1/credits/reward', { node_id: user, amount: '0.000001', reason: 'test' }, admin),
    post('/api/v1/keys', { name: 'fuzz', role: 'read', rate_per_minute: 5 }, admin),
    { method: 'GET', path: '/api/v1/keys', headers: admin },
    { method: 'DELETE', path: '/api/v1/keys/0123456789abcdef', headers: admin },
    ...signedIntents(),
    ...judgements(job, admin),
  ]
}

/** Evidence, disputes and audit thresholds. */
function judgements(job: string, headers: Readonly<Record<string, string>>): readonly Template[] {
  const { swarmId } = new LogSwarm().state
  const table = { model: digestNamed('model'), engine: 'an engine', rows: [] }
  const file = Buffer.from(sealAs(policyTableCodec, table, swarmId, MINT_KEY)).toString('base64')
  return [
    { method: 'GET', path: `${job}/evidence?replica=0&prompt=true` },
    { method: 'POST', path: `${job}/disputes`, json: { replica: 0, claim: 'reject' } },
    { method: 'GET', path: '/api/v1/verification/policies' },
    { method: 'POST', path: '/api/v1/verification/policies', json: { file }, headers },
  ]
}

/** Of other swarms: taken apart, opened, and refused. */
function signedIntents(): readonly Template[] {
  const headers = { 'content-type': 'application/vnd.cfab.intent' }
  return ENDS.slice(0, 3).map((end) => {
    const { job } = settledRun(end)
    const [intent, payload] = [job.intentEnvelope, new Uint8Array(64)]
    const bytes = concatBytes(u32be(intent.length), intent, u32be(payload.length), payload)
    return { method: 'POST', path: '/api/v1/p2p/intents', headers, bytes }
  })
}
