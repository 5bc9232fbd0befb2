/** The OpenAPI document against the server that serves it: the same routes, and answers that are what it says. */
import { Validator } from '@seriousme/openapi-schema-validator'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { listAt, member, textAt } from '../../node/commands/json.ts'
import { documentPath } from '../../node/control/openapi.ts'
import { OPERATIONS } from '../../node/control/operations.ts'
import { ADMIN_KEY, ask, askJson, type Reply, type TestControl, withControl } from '../support/control.ts'
import { closed, faultOf } from '../support/openapi.ts'
import { within } from '../support/within.ts'

const ADMIN = { authorization: `Bearer ${ADMIN_KEY}` }

async function documentOf({ url }: TestControl): Promise<Readonly<Record<string, unknown>>> {
  const { status, body } = await ask(`${url}/openapi.json`)
  assert.is(status, 200)
  return JSON.parse(body)
}

function described(document: unknown): readonly string[] {
  return Object.entries(Object(member(document, 'paths'))).flatMap(([path, item]) =>
    Object.keys(Object(item)).map((method) => `${method.toUpperCase()} ${path}`),
  )
}

test(
  'every route is described, and everything described is a route',
  within(5_000, () =>
    withControl(async (context) => {
      const served = context.control.routes.map(documentPath).sort()
      assert.equal([...described(await documentOf(context))].sort(), served)
      assert.is(new Set(served).size, OPERATIONS.length, 'none is described twice')
    }),
  ),
)

test(
  'the document is valid OpenAPI 3.1',
  within(20_000, () =>
    withControl(async (context) => {
      const document = await documentOf(context)
      const { valid, errors } = await new Validator().validate({ ...document })
      assert.ok(valid, JSON.stringify(errors))
      const broken = await new Validator().validate({ ...document, paths: { '/x': { get: { responses: 7 } } } })
      assert.not(broken.valid, 'the validator can refuse')
    }),
  ),
)

test(
  'each operation says what it does, who may call it, what it takes and how it refuses',
  within(5_000, () =>
    withControl(async (context) => {
      const document = await documentOf(context)
      const ids = new Set<string>()
      for (const { method, path, role } of OPERATIONS) {
        const operation = member(document, 'paths', documentPath(path), method.toLowerCase())
        const where = `${method} ${path}`
        assert.match(textAt(operation, 'summary'), /^[A-Z].{5,}\.$/, where)
        assert.is(textAt(operation, 'x-cfab-role'), role)
        assert.is(listAt(operation, 'security').length, role === 'open' ? 0 : 1, where)
        assert.is(member(operation, 'requestBody') !== undefined, method === 'POST', where)
        const named = listAt(operation, 'parameters').filter((parameter) => textAt(parameter, 'in') === 'path')
        assert.equal(
          named.map((parameter) => textAt(parameter, 'name')),
          [...path.matchAll(/:(\w+)/g)].map(([, name]) => name),
          where,
        )
        for (const status of [400, 401, 403, 429, 500]) {
          assert.ok(member(operation, 'responses', String(status), '$ref') !== undefined, `${where} ${status}`)
        }
        ids.add(textAt(operation, 'operationId'))
      }
      assert.is(ids.size, OPERATIONS.length, 'operation ids are distinct')
      assert.ok(closed(document, document) !== undefined, 'every reference points at something')
    }),
  ),
)

type Asked = readonly [method: string, route: string, answer: (context: TestControl) => Promise<Reply>]
const CHAT = { model: 'cfab-tiny', messages: [{ role: 'user', content: 'hi' }] }
const post =
  (path: string, body: object, headers: Readonly<Record<string, string>> = {}) =>
  ({ url }: TestControl): Promise<Reply> =>
    askJson(url + path, body, headers)
const get =
  (path: string, headers: Readonly<Record<string, string>> = {}) =>
  ({ url }: TestControl): Promise<Reply> =>
    ask(url + path, { headers })

async function jobId({ url }: TestControl): Promise<string> {
  return textAt(
    JSON.parse((await askJson(`${url}/api/v1/p2p/intents`, { model: 'cfab-tiny', prompt: 'x' })).body),
    'job_id',
  )
}

const ASKED: readonly Asked[] = [
  ['GET', '/healthz', get('/healthz')],
  ['GET', '/readyz', get('/readyz')],
  ['GET', '/api/v1/status', get('/api/v1/status')],
  ['GET', '/v1/models', get('/v1/models')],
  ['GET', '/v1/models/:id', get('/v1/models/cfab-tiny')],
  ['GET', '/v1/models/:id', get('/v1/models/nobody')],
  ['POST', '/v1/chat/completions', post('/v1/chat/completions', CHAT)],
  ['POST', '/v1/chat/completions', post('/v1/chat/completions', { ...CHAT, n: 2, logprobs: true, top_logprobs: 2 })],
  ['POST', '/v1/chat/completions', post('/v1/chat/completions', { ...CHAT, tools: [{}] })],
  ['POST', '/v1/chat/completions', post('/v1/chat/completions', { ...CHAT, cfab: { max_budget: '0.000001' } })],
  ['POST', '/v1/chat/completions', post('/v1/chat/completions', { ...CHAT, model: 'nobody' })],
  ['POST', '/v1/completions', post('/v1/completions', { model: 'cfab-tiny', prompt: ['a', 'b'], logprobs: 1 })],
  ['POST', '/v1/embeddings', post('/v1/embeddings', { model: 'use-lite-en', input: ['a', 'b'] })],
  ['POST', '/v1/embeddings', post('/v1/embeddings', { model: 'use-lite-en', input: 'a', encoding_format: 'base64' })],
  ['POST', '/api/v1/p2p/intents', post('/api/v1/p2p/intents', { model: 'cfab-tiny', prompt: 'hi' })],
  ['POST', '/api/v1/p2p/intents', post('/api/v1/p2p/intents', { model: 'cfab-tiny', prompt: 'hi', dry_run: true })],
  ['GET', '/api/v1/p2p/jobs', get('/api/v1/p2p/jobs?limit=1')],
  ['GET', '/api/v1/p2p/jobs', get('/api/v1/p2p/jobs?limit=0')],
  ['GET', '/api/v1/p2p/peers', get('/api/v1/p2p/peers')],
  ['GET', '/api/v1/p2p/quorum', get('/api/v1/p2p/quorum')],
  ['GET', '/api/v1/p2p/jobs/:id', async (context) => get(`/api/v1/p2p/jobs/${await jobId(context)}`)(context)],
  ['GET', '/api/v1/p2p/jobs/:id', get(`/api/v1/p2p/jobs/${'0'.repeat(64)}`)],
  [
    'GET',
    '/api/v1/p2p/jobs/:id/timeline',
    async (context) => get(`/api/v1/p2p/jobs/${await jobId(context)}/timeline`)(context),
  ],
  [
    'GET',
    '/api/v1/p2p/jobs/:id/explain',
    async (context) => get(`/api/v1/p2p/jobs/${await jobId(context)}/explain`)(context),
  ],
  [
    'DELETE',
    '/api/v1/p2p/jobs/:id',
    async (context) => ask(`${context.url}/api/v1/p2p/jobs/${await jobId(context)}`, { method: 'DELETE' }),
  ],
  ['GET', '/api/v1/p2p/receipts/:id', get(`/api/v1/p2p/receipts/${'0'.repeat(64)}`)],
  [
    'GET',
    '/api/v1/credits/accounts/:type/:id',
    (context) => get(`/api/v1/credits/accounts/user/${context.app.user}`)(context),
  ],
  ['GET', '/api/v1/credits/transactions/list', get('/api/v1/credits/transactions/list')],
  ['GET', '/api/v1/credits/audit', get('/api/v1/credits/audit')],
  [
    'POST',
    '/api/v1/credits/mint',
    (context) =>
      post(
        '/api/v1/credits/mint',
        { account_type: 'user', account_id: context.app.user, amount: '1', reason: 'test' },
        ADMIN,
      )(context),
  ],
  ['POST', '/api/v1/credits/mint', post('/api/v1/credits/mint', {})],
  ['GET', '/api/v1/keys', get('/api/v1/keys', ADMIN)],
  ['POST', '/api/v1/keys', post('/api/v1/keys', { name: 'ci', role: 'user', budget: '2.5' }, ADMIN)],
  ['POST', '/api/v1/keys', post('/api/v1/keys', { name: 'ci' }, ADMIN)],
  [
    'DELETE',
    '/api/v1/keys/:id',
    ({ url }) => ask(`${url}/api/v1/keys/${'0'.repeat(16)}`, { method: 'DELETE', headers: ADMIN }),
  ],
  ['POST', '/api/v1/p2p/simulate', post('/api/v1/p2p/simulate', { peers: 1 })],
]

test(
  'answers and refusals are what the document says, member for member',
  within(20_000, () =>
    withControl(async (context) => {
      const document = await documentOf(context)
      const statuses = new Set<number>()
      for (const [method, route, answer] of ASKED) {
        const reply = await answer(context)
        statuses.add(reply.status)
        assert.is(faultOf(document, method, route, reply), undefined)
      }
      for (const status of [200, 201, 202, 400, 401, 402, 404]) assert.ok(statuses.has(status), `${status} was seen`)
    }),
  ),
)

test(
  'an answer that the document does not allow is found',
  within(5_000, () =>
    withControl(async (context) => {
      const document = await documentOf(context)
      const fault = (status: number, body: string) => faultOf(document, 'GET', '/healthz', { status, body }) ?? ''
      assert.is(fault(200, '{"status":"ok"}'), '')
      assert.match(fault(200, '{"status":"ok","more":1}'), /more/)
      assert.match(fault(200, '{"status":"no"}'), /status/)
      assert.match(fault(418, '{}'), /418/)
    }),
  ),
)

test.run()
