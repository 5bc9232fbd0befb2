/** The routes of what outputs are judged by, described. */
import {
  count,
  flag,
  hash,
  json,
  list,
  type Operation,
  object,
  ok,
  ref,
  type Schema,
  text,
  textOrNull,
} from './openapi-kit.ts'

const TAG = 'Swarm'
const micro: Schema = {
  ...list(count),
  minItems: 4,
  maxItems: 4,
  description: 'Of outputs of 64, 128, 256 and 512 tokens.',
}

export const VERIFICATION_SCHEMAS: Readonly<Record<string, Schema>> = {
  Policy: object(
    {
      id: hash,
      model: hash,
      model_name: textOrNull,
      engine: text,
      in_force: { ...flag, description: 'False: only jobs that were held earlier are judged by it.' },
      rows: list(
        object({
          prover: { ...text, description: 'Class of engine; `*` is any.' },
          verifier: text,
          temperature: { ...count, maximum: 2, description: '0: zero; 1: below 0.75; 2: 0.75 and more.' },
          suspect_micro_nats: micro,
          fail_micro_nats: micro,
          worst_micro_nats: count,
          honest_audits: count,
          honest_tokens: count,
        }),
      ),
    },
    { calibrated_by: { ...text, description: 'Of a table that was just published: whose figures they are.' } },
  ),
}

export const VERIFICATION_OPERATIONS: readonly Operation[] = [
  {
    ...{ id: 'listPolicies', method: 'GET', path: '/api/v1/verification/policies', role: 'read', tag: TAG },
    summary: 'Thresholds by which audited outputs are judged; audits of a model without a table judge nobody.',
    answers: ok('The tables that the log has.', object({ items: list(ref('Policy')) })),
  },
  {
    ...{ id: 'publishPolicy', method: 'POST', path: '/api/v1/verification/policies', role: 'admin', tag: TAG },
    summary: 'Make a table count for the jobs of its model from now on; signed with the mint key of this node.',
    body: json(object({ file: { ...text, contentEncoding: 'base64', description: 'What `calibrate` wrote.' } })),
    answers: ok('The table.', ref('Policy')),
  },
]
