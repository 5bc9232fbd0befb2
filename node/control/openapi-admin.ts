/** The routes of a node's operator, described: health, status, metrics, keys, this very document. */
import { PRIORITIES, ROLES } from '../runtime/access.ts'
import { DRIVER, MODEL_STATE } from './openapi-engines.ts'
import {
  amount,
  amountOrNull,
  count,
  decimal,
  flag,
  inPath,
  integerOrNull,
  json,
  list,
  type Operation,
  object,
  ok,
  oneOf,
  ref,
  type Schema,
  text,
  textOrNull,
  time,
} from './openapi-kit.ts'

const TAG = 'Operator'
const READY = object({ ready: flag, reason: text })
const role = oneOf(...ROLES)
const priority = oneOf(...PRIORITIES)
const keyId: Schema = { type: 'string', pattern: '^[0-9a-f]{16}$' }
const KEY_FACTS: Readonly<Record<string, Schema>> = {
  id: keyId,
  name: text,
  role,
  priority,
  rate_per_minute: integerOrNull,
  burst: integerOrNull,
  budget: amountOrNull,
  budget_per_day: amountOrNull,
  open_jobs_max: integerOrNull,
  created: time,
}
const perPriority = object({ low: count, normal: count, high: count })

export const ADMIN_SCHEMAS: Readonly<Record<string, Schema>> = {
  Status: object({
    ready: flag,
    ready_reason: text,
    node: text,
    user: text,
    swarm: text,
    region: text,
    local: flag,
    version: text,
    started: time,
    log: text,
    log_note: text,
    epoch: decimal,
    mesh: {
      ...object({ addresses: list(text), links: count, alive: count, known: count }),
      type: ['object', 'null'],
      description: 'How this node is with the others of its swarm; null in a swarm of one machine.',
    },
    engine: text,
    driver: DRIVER,
    driver_reason: { ...textOrNull, description: 'Why this one; empty when it is the best there is.' },
    host_state: MODEL_STATE,
    models: list(object({ id: text, task: oneOf('chat', 'embedding'), state: MODEL_STATE, reason: textOrNull })),
    validators: count,
    quorum: count,
    credits: ref('Balance'),
    earned: ref('Balance'),
    jobs: object({ open: count, settled_last_hour: count, refunded_last_hour: count }),
    idle: textOrNull,
    admission: { ...object({ open_jobs: count, open_jobs_max: perPriority }), description: 'By priority of the key.' },
  }),
  Key: object({
    ...KEY_FACTS,
    spent: amount,
    spent_today: amount,
    held: amount,
    open_jobs: count,
  }),
  KeyWish: object(
    { name: { type: 'string', minLength: 1, maxLength: 64 }, role },
    {
      priority,
      rate_per_minute: { type: ['integer', 'null'], minimum: 1 },
      burst: { type: ['integer', 'null'], minimum: 1 },
      budget: amountOrNull,
      budget_per_day: amountOrNull,
      open_jobs_max: { type: ['integer', 'null'], minimum: 1 },
    },
  ),
  NewKey: object({ ...KEY_FACTS, key: { ...text, description: 'The whole key; nobody can show it again.' } }),
  RevokedKey: object(KEY_FACTS),
}

export const ADMIN_OPERATIONS: readonly Operation[] = [
  {
    ...{ id: 'health', method: 'GET', path: '/healthz', role: 'open', tag: TAG },
    summary: 'Whether the process answers.',
    answers: ok('It does.', object({ status: { const: 'ok' } })),
  },
  {
    ...{ id: 'readiness', method: 'GET', path: '/readyz', role: 'read', tag: TAG },
    summary: 'Whether the node can take jobs.',
    answers: {
      ...ok('It can.', READY),
      503: { description: 'It cannot now; the reason says why.', content: json({ oneOf: [READY, ref('Error')] }) },
    },
  },
  {
    ...{ id: 'status', method: 'GET', path: '/api/v1/status', role: 'read', tag: TAG },
    summary: 'The node, its credits, its jobs, and why it is idle.',
    answers: ok('The status.', ref('Status')),
  },
  {
    ...{ id: 'metrics', method: 'GET', path: '/metrics', role: 'read', tag: TAG },
    summary: 'Figures in the Prometheus text format.',
    answers: { 200: { description: 'The figures.', content: { 'text/plain': text } } },
    errors: [404],
  },
  {
    ...{ id: 'openapi', method: 'GET', path: '/openapi.json', role: 'read', tag: TAG },
    summary: 'This document.',
    answers: ok('OpenAPI 3.1.', { type: 'object' }),
  },
  {
    ...{ id: 'listKeys', method: 'GET', path: '/api/v1/keys', role: 'admin', tag: TAG },
    summary: 'API keys with their limits and what they have used; no secrets.',
    answers: ok('All of them, oldest first.', object({ items: list(ref('Key')) })),
  },
  {
    ...{ id: 'addKey', method: 'POST', path: '/api/v1/keys', role: 'admin', tag: TAG },
    summary: 'Make an API key. The answer is the only place where it is ever shown.',
    body: json(ref('KeyWish')),
    answers: { 201: { description: 'The key.', content: json(ref('NewKey')) } },
    errors: [409],
  },
  {
    ...{ id: 'revokeKey', method: 'DELETE', path: '/api/v1/keys/:id', role: 'admin', tag: TAG },
    summary: 'Revoke an API key; it is refused from the next request on.',
    parameters: [inPath('id', 'Id of the key.', keyId)],
    answers: ok('The key that was.', ref('RevokedKey')),
    errors: [404],
  },
]
