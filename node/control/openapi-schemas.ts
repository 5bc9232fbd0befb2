/** Schemas that several routes share: jobs, money, errors. */

import { ERRORS } from '../../core/errors.ts'
import { SEED_MODES } from '../../core/log/inputs.ts'
import { OUTCOME_KINDS } from '../runtime/app.ts'
import { SPEED } from './openapi-chat.ts'
import {
  amount,
  amountOrNull,
  count,
  flag,
  hash,
  hashOrNull,
  integerOrNull,
  list,
  object,
  oneOf,
  ref,
  type Schema,
  text,
  textOrNull,
  time,
} from './openapi-kit.ts'

export const OUTCOMES: Schema = oneOf(...OUTCOME_KINDS, 'pending')

export const SHARED_SCHEMAS: Readonly<Record<string, Schema>> = {
  Error: object({
    error: object({
      message: text,
      type: text,
      param: textOrNull,
      code: { ...oneOf(...Object.keys(ERRORS)), description: 'Stable; docs/ERRORS.md says what to do about each.' },
    }),
  }),
  Outcome: {
    ...object({
      outcome: OUTCOMES,
      assurance: textOrNull,
      reason: textOrNull,
      verifiable: flag,
      job_id: hash,
      receipt_id: hash,
      receipt_url: text,
      cost: amountOrNull,
      refund: amountOrNull,
    }),
    description: 'How a job ended and what it cost; cost and refund are null until it has settled.',
  },
  JobWish: {
    ...object(
      {},
      {
        replicas: { type: 'integer', minimum: 1, maximum: 5, description: 'Workers that run it independently.' },
        seeds: {
          ...oneOf(...SEED_MODES),
          description: 'One seed for all replicas, one for each, or a hidden coin: then a copied answer is found.',
        },
        speed: SPEED,
        verify: { ...oneOf('after', 'before'), description: 'Answer as it comes, or only what was checked.' },
        max_budget: { type: ['string', 'integer'], description: 'Credits; refused when it could cost more.' },
        region: text,
        nonce: { type: ['string', 'integer'], description: 'A u64: the same nonce is the same job.' },
      },
    ),
    description: 'What this network adds to a request.',
  },
  Job: object({
    job_id: hash,
    phase: text,
    created: time,
    model: text,
    task: oneOf('chat', 'completion', 'embedding'),
    verifiable: flag,
    user: text,
    replicas: list(object({ worker: text, state: text, verdict: textOrNull, tokens: integerOrNull })),
    hold: amount,
    cost: amountOrNull,
    refund: amountOrNull,
    outcome: textOrNull,
    assurance: textOrNull,
    reason: textOrNull,
    text: textOrNull,
    reports: list(ref('AuditReport')),
    disputes: list(ref('Dispute')),
    receipt_url: text,
  }),
  AuditReport: object({
    replica: { ...count, description: 'The lowest of the replicas with this output.' },
    auditor: text,
    verdict: { ...text, description: 'pass, suspect, fail; abstain where the log had no thresholds.' },
    positions: count,
    mean_micro_nats: count,
    worst_micro_nats: count,
    replay_ms: count,
  }),
  Dispute: object({
    replica: count,
    claim: oneOf('reject', 'accept'),
    opener: text,
    opened: time,
    bond: amount,
    outcome: { ...textOrNull, description: 'upheld, rejected or inconclusive; null while its referees are at work.' },
  }),
  Transaction: object({
    id: text,
    time,
    kind: text,
    debit: text,
    credit: text,
    amount,
    reason: text,
    job_id: hashOrNull,
    node_id: textOrNull,
    idempotency_key: text,
    hash,
  }),
  Balance: object({ spendable: amount, held: amount, pending: amount }),
  Account: object({
    account_type: text,
    account_id: text,
    balance: ref('Balance'),
    recent_transactions: list(ref('Transaction')),
  }),
  Message: object(
    { role: oneOf('system', 'developer', 'user', 'assistant', 'tool') },
    {
      content: {
        oneOf: [text, list(object({ type: { const: 'text' }, text })), { type: 'null' }],
      },
      tool_calls: { ...list(ref('ToolCall')), maxItems: 32, description: 'Of an assistant.' },
      tool_call_id: { ...text, description: 'Of a tool: the call that it answers.' },
      reasoning_content: { ...textOrNull, description: 'Of an assistant; the model does not see it again.' },
    },
  ),
  Usage: object({ prompt_tokens: count, total_tokens: count }, { completion_tokens: count }),
}
