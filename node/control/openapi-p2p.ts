/** The routes of jobs, receipts, peers and votes under /api/v1/p2p, described. */
import { SEED_MODES } from '../../core/log/inputs.ts'
import { SIMULATION_LIMITS } from '../runtime/simulation.ts'
import { CHAT_FORM, SAMPLING, SPEED, TOKEN_IDS } from './openapi-chat.ts'
import {
  type Answer,
  amount,
  count,
  decimal,
  flag,
  hash,
  IDEMPOTENCY,
  inPath,
  inQuery,
  integerOrNull,
  json,
  list,
  type Operation,
  object,
  ok,
  oneOf,
  PAGE,
  ref,
  type Schema,
  text,
  textOrNull,
  time,
} from './openapi-kit.ts'

const TAG = 'Swarm'
const JOB = inPath('id', 'Job id.', hash)
const bytes: Schema = { type: 'string', contentEncoding: 'binary' }
const BINARY = 'application/octet-stream'

const fraction: Schema = { type: 'number', minimum: 0, maximum: 1 }
const whole = (minimum: number, maximum: number): Schema => ({ type: 'integer', minimum, maximum })

/** Of the report only what is always there; its whole shape is the simulator's own. */
const SIMULATION_SCHEMAS: Readonly<Record<string, Schema>> = {
  SimulationRequest: object(
    {},
    {
      peers: whole(SIMULATION_LIMITS.peerCountMin, SIMULATION_LIMITS.peerCountMax),
      validators: whole(SIMULATION_LIMITS.validatorCountMin, SIMULATION_LIMITS.validatorCountMax),
      jobs: whole(1, SIMULATION_LIMITS.jobCountMax),
      users: whole(1, SIMULATION_LIMITS.userCountMax),
      replicas: whole(1, 5),
      verify: oneOf('after', 'before'),
      seed: { ...whole(0, SIMULATION_LIMITS.seedMax), description: 'The same seed is the same simulation.' },
      faults: object(
        {},
        {
          ...{ crash: fraction, liar: fraction, silent: fraction, busy: fraction, slow: fraction, loss: fraction },
          byzantine_validators: count,
        },
      ),
      latency: object({}, { mean_ms: count, jitter_ms: count }),
      arrivals_per_second: { type: 'number' },
      model: object({}, { mega_params: count, prompt_tokens: count, max_tokens: count }),
      user_budget: { type: ['string', 'integer'] },
      detail: oneOf('summary', 'jobs'),
      limit: whole(0, SIMULATION_LIMITS.jobsShownMax),
    },
  ),
  Simulation: object({
    seed: count,
    swarm: text,
    quorum: count,
    virtual_ms: { type: 'number' },
    jobs: { type: 'object' },
    balances: { type: 'object' },
    latency_ms: { type: 'object' },
    counts: { type: 'object' },
    violations: list(object({ rule: text, detail: text, at_ms: { type: 'number' } })),
  }),
}

export const P2P_SCHEMAS: Readonly<Record<string, Schema>> = {
  ...SIMULATION_SCHEMAS,
  Intent: {
    ...object(
      { model: text },
      {
        task: oneOf('chat', 'completion', 'embedding'),
        messages: list(ref('Message')),
        prompt: { oneOf: [text, TOKEN_IDS] },
        texts: { ...list(text), minItems: 1, maxItems: 64 },
        ...SAMPLING,
        ...CHAT_FORM,
        max_tokens: integerOrNull,
        top_logprobs: integerOrNull,
        dry_run: { ...flag, description: 'Only the price and who could run it.' },
        replicas: { type: 'integer', minimum: 1, maximum: 5 },
        seeds: oneOf(...SEED_MODES),
        speed: SPEED,
        verify: oneOf('after', 'before'),
        max_budget: { type: ['string', 'integer'] },
        region: text,
        nonce: { type: ['string', 'integer'] },
      },
    ),
    description: 'A wish that the node signs for the local user.',
  },
  Accepted: object({
    job_id: hash,
    prompt_tokens: count,
    repeated: flag,
    receipt_url: text,
    events_url: text,
  }),
  Quote: object({
    model: text,
    prompt_tokens: count,
    max_tokens: count,
    replicas: count,
    price: object({ hold: amount, base: amount, bonus: amount, speed: amount, audits: amount, fee: amount }),
    eligible_peers: list(text),
  }),
  Peer: object({
    id: text,
    self: flag,
    state: oneOf('alive', 'suspect', 'dead', 'left'),
    roles: list(text),
    region: text,
    weight: count,
    models: list(text),
    addresses: list(text),
    rtt_ms: { type: ['number', 'null'] },
    load: { type: ['number', 'null'], minimum: 0, maximum: 1 },
    slots: integerOrNull,
    tokens_per_second: { type: 'number' },
    ineligible: textOrNull,
  }),
  CertifiedEntry: object({
    job_id: hash,
    kind: oneOf('assignment', 'result', 'settlement'),
    replica: count,
    voters: list(text),
    entry: decimal,
    hash: text,
    time,
  }),
  Timeline: object({
    job_id: hash,
    phases: list(object({ phase: text, time: { ...time, type: ['string', 'null'] } })),
    replicas: list(object({ worker: text, state: text, verdict: textOrNull, tokens: integerOrNull })),
    votes: list(ref('CertifiedEntry')),
    transfers: list(ref('Transaction')),
  }),
  Explanation: object({
    job_id: hash,
    epoch: decimal,
    roster_root: text,
    beacon: text,
    hold_hash: text,
    ranked: list(
      object({ peer: text, score: text, weight: { type: 'number' }, answer: text, chosen: integerOrNull, why: text }),
    ),
    matches: { ...flag, description: 'The assignment in the log is the one that this draw gives.' },
  }),
  Quorum: object({
    epoch: decimal,
    set_hash: text,
    validators: list(object({ id: text, self: flag })),
    quorum: count,
    faulty: count,
    overlapping: flag,
    recent: list(ref('CertifiedEntry')),
  }),
}

const ACCEPTED: Readonly<Record<string, Answer>> = {
  200: { description: 'The price of a dry run.', content: json(ref('Quote')) },
  202: { description: 'The job, whose hold is durable.', content: json(ref('Accepted')) },
}

export const P2P_OPERATIONS: readonly Operation[] = [
  {
    ...{ id: 'simulate', method: 'POST', path: '/api/v1/p2p/simulate', role: 'user', tag: TAG },
    summary: 'Simulate a swarm with faults, and report or draw what became of its jobs and credits.',
    parameters: [inQuery('format', 'Instead of the Accept header.', oneOf('json', 'svg'))],
    body: json(ref('SimulationRequest')),
    answers: {
      200: {
        description: 'The report or its picture.',
        content: { ...json(ref('Simulation')), 'image/svg+xml': text },
      },
    },
    errors: [504],
  },
  {
    ...{ id: 'submitIntent', method: 'POST', path: '/api/v1/p2p/intents', role: 'user', tag: TAG },
    summary: 'Submit a job: a wish that the node signs, or an intent that was signed elsewhere.',
    parameters: [IDEMPOTENCY],
    body: { ...json(ref('Intent')), 'application/vnd.cfab.intent': bytes },
    answers: ACCEPTED,
    errors: [402, 404, 409, 413],
  },
  {
    ...{ id: 'listJobs', method: 'GET', path: '/api/v1/p2p/jobs', role: 'read', tag: TAG },
    summary: 'Jobs of this node, newest first.',
    parameters: PAGE,
    answers: ok('A page.', object({ items: list(ref('Job')), next_cursor: textOrNull })),
  },
  {
    ...{ id: 'getJob', method: 'GET', path: '/api/v1/p2p/jobs/:id', role: 'read', tag: TAG },
    summary: 'A job as it stands.',
    parameters: [JOB],
    answers: ok('The job.', ref('Job')),
    errors: [404],
  },
  {
    ...{ id: 'cancelJob', method: 'DELETE', path: '/api/v1/p2p/jobs/:id', role: 'user', tag: TAG },
    summary: 'Ask a running job to stop; what it produced is settled as it stands.',
    parameters: [JOB],
    answers: { 202: { description: 'The job.', content: json(ref('Job')) } },
    errors: [404],
  },
  {
    ...{ id: 'watchJob', method: 'GET', path: '/api/v1/p2p/jobs/:id/events', role: 'read', tag: TAG },
    summary: 'Everything that happens to a job, from its beginning to its outcome.',
    parameters: [JOB],
    answers: { 200: { description: 'Server-sent events.', content: { 'text/event-stream': text } } },
    errors: [404],
  },
  {
    ...{ id: 'jobTimeline', method: 'GET', path: '/api/v1/p2p/jobs/:id/timeline', role: 'read', tag: TAG },
    summary: 'Phases, replicas, votes and transfers of a job, by the clock of the log.',
    parameters: [JOB],
    answers: ok('The timeline.', ref('Timeline')),
    errors: [404],
  },
  {
    ...{ id: 'explainJob', method: 'GET', path: '/api/v1/p2p/jobs/:id/explain', role: 'read', tag: TAG },
    summary: 'Why these workers: the draw of a job, computed again.',
    parameters: [JOB],
    answers: ok('The draw.', ref('Explanation')),
    errors: [404],
  },
  {
    ...{ id: 'getReceipt', method: 'GET', path: '/api/v1/p2p/receipts/:id', role: 'read', tag: TAG },
    summary: 'The sealed receipt of a settled job, which anybody can verify offline.',
    parameters: [JOB],
    answers: { 200: { description: 'The receipt file.', content: { [BINARY]: bytes } } },
    errors: [404, 409],
  },
  {
    ...{ id: 'listPeers', method: 'GET', path: '/api/v1/p2p/peers', role: 'read', tag: TAG },
    summary: 'Members of the swarm, and why one is not eligible for work.',
    answers: ok('All of them.', object({ items: list(ref('Peer')) })),
  },
  {
    ...{ id: 'getQuorum', method: 'GET', path: '/api/v1/p2p/quorum', role: 'read', tag: TAG },
    summary: 'Who votes, how many must agree, and the newest certificates.',
    parameters: [inQuery('limit', 'Certificates shown, 1 to 200.', { type: 'integer', minimum: 1, maximum: 200 })],
    answers: ok('The quorum.', ref('Quorum')),
  },
  {
    ...{ id: 'getGenesis', method: 'GET', path: '/api/v1/p2p/genesis', role: 'read', tag: TAG },
    summary: 'The genesis of the swarm, whose hash is the swarm id.',
    answers: { 200: { description: 'Its bytes.', content: { [BINARY]: bytes } } },
  },
]
