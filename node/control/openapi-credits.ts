/** The ledger's routes under /api/v1/credits, described. */
import {
  amount,
  count,
  decimal,
  flag,
  hash,
  IDEMPOTENCY,
  inPath,
  inQuery,
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
} from './openapi-kit.ts'

const TAG = 'Credits'
const reason: Schema = { type: 'string', minLength: 1, maxLength: 128 }
const MOVED = ok('The transaction.', ref('Transaction'))
const MOVE_ERRORS = [402, 404, 409]

export const CREDIT_SCHEMAS: Readonly<Record<string, Schema>> = {
  Mint: object({ account_type: text, account_id: text, amount, reason }),
  Spend: object({ owner_id: text, amount, reason }, { job_id: hash }),
  Reward: object({ node_id: text, amount, reason }, { job_id: hash }),
  Transfer: object({ from: text, to: text, amount, reason }),
  Audit: object({
    zero_sum: flag,
    total: amount,
    accounts: count,
    entries: decimal,
    replay_matches: flag,
    open_holds: count,
  }),
}

export const CREDIT_OPERATIONS: readonly Operation[] = [
  {
    ...{ id: 'getAccount', method: 'GET', path: '/api/v1/credits/accounts/:type/:id', role: 'read', tag: TAG },
    summary: 'Balance and newest transactions of an account.',
    parameters: [
      inPath('type', 'Kind of account.', oneOf('user', 'node', 'platform', 'mint')),
      inPath('id', 'Its id; `mint` for the mint.'),
    ],
    answers: ok('The account.', ref('Account')),
    errors: [404],
  },
  {
    ...{ id: 'listTransactions', method: 'GET', path: '/api/v1/credits/transactions/list', role: 'read', tag: TAG },
    summary: 'Transactions, newest first.',
    parameters: [
      inQuery('account_type', 'With account_id: only of this account.'),
      inQuery('account_id', 'With account_type.'),
      inQuery('job_id', 'Only of this job.', hash),
      ...PAGE,
    ],
    answers: ok('A page.', object({ items: list(ref('Transaction')), next_cursor: textOrNull })),
    errors: [404],
  },
  {
    ...{ id: 'audit', method: 'GET', path: '/api/v1/credits/audit', role: 'read', tag: TAG },
    summary: 'Replay the whole log and compare the books.',
    answers: ok('What was found.', ref('Audit')),
  },
  {
    ...{ id: 'mint', method: 'POST', path: '/api/v1/credits/mint', role: 'admin', tag: TAG },
    summary: 'Create credits with the mint key of this node.',
    parameters: [IDEMPOTENCY],
    body: json(ref('Mint')),
    answers: MOVED,
    errors: MOVE_ERRORS,
  },
  {
    ...{ id: 'spend', method: 'POST', path: '/api/v1/credits/spend', role: 'user', tag: TAG },
    summary: "Pay the platform from the local user's account; counts against the budget of the key.",
    parameters: [IDEMPOTENCY],
    body: json(ref('Spend')),
    answers: MOVED,
    errors: MOVE_ERRORS,
  },
  {
    ...{ id: 'reward', method: 'POST', path: '/api/v1/credits/reward', role: 'admin', tag: TAG },
    summary: 'Pay a node from the platform.',
    parameters: [IDEMPOTENCY],
    body: json(ref('Reward')),
    answers: MOVED,
    errors: MOVE_ERRORS,
  },
  {
    ...{ id: 'transfer', method: 'POST', path: '/api/v1/credits/transfer', role: 'admin', tag: TAG },
    summary: 'Move credits between accounts.',
    parameters: [IDEMPOTENCY],
    body: json(ref('Transfer')),
    answers: MOVED,
    errors: MOVE_ERRORS,
  },
]
