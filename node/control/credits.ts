/** The ledger's routes under /api/v1/credits. Amounts are decimal strings; every write is one transaction that a retry repeats, not doubles. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { FabricError } from '../../core/errors.ts'
import {
  type AccountId,
  type JobId,
  MINT_ACCOUNT,
  nodeAccount,
  parseAccountId,
  parseJobId,
  parsePeerId,
  platformAccount,
  userAccount,
} from '../../core/ids.ts'
import { parseAmount } from '../../core/ledger/amount.ts'
import { LIMITS } from '../../core/limits.ts'
import type { AuditView, DirectTransfer } from '../runtime/app.ts'
import { type ControlContext, idempotencyKeyOf } from './context.ts'
import { type Fields, object, optional, parsed, refuseUnknown, required, shortText, text } from './fields.ts'
import { readPage } from './paging.ts'
import { accountJson, auditJson, transactionJson } from './present.ts'
import { badRequest } from './problem.ts'

const reason = shortText(LIMITS.reasonBytesMax)
const jobId = parsed(parseJobId, 'a job id')
const peer = parsed(parsePeerId, 'an id that begins with cf1')
const account = parsed(parseAccountId, 'user/<id>, node/<id> or platform/<region>')
const KEY_BYTES = 16

export function creditRoutes(server: FastifyInstance, context: ControlContext): void {
  const { app } = context
  const auditOnce = singleFlight(() => app.audit())

  server.get<{ Params: { type: string; id: string } }>('/api/v1/credits/accounts/:type/:id', async (request) =>
    accountJson(app.account(accountOf(request.params.type, request.params.id))),
  )

  server.get('/api/v1/credits/transactions/list', async (request) =>
    listTransactions(context, object(request.query, 'query')),
  )

  server.get('/api/v1/credits/audit', async () => auditJson(await auditOnce()))

  server.post('/api/v1/credits/mint', async (request) => {
    const fields = bodyOf(request, ['account_type', 'account_id', 'amount', 'reason'])
    const to = accountOf(required(fields, 'account_type', text(16)), required(fields, 'account_id', text(64)))
    if (to === MINT_ACCOUNT) throw badRequest('account_type', 'user, node or platform')
    return transactionJson(
      await app.mint(to, amountOf(fields), required(fields, 'reason', reason), keyOf(context, request)),
    )
  })

  server.post('/api/v1/credits/spend', async (request) => {
    const fields = bodyOf(request, ['owner_id', 'amount', 'reason', 'job_id'])
    const owner = required(fields, 'owner_id', peer)
    const { user, region } = app.status()
    // The daemon signs with the local user's key only; another owner has to sign for itself.
    if (owner !== user) throw new FabricError('CF_CONTROL_UNAUTHORIZED', { param: 'owner_id', key: 'owner' })
    return direct(context, request, 'spend', fields, userAccount(owner), platformAccount(region))
  })

  server.post('/api/v1/credits/reward', async (request) => {
    const fields = bodyOf(request, ['node_id', 'amount', 'reason', 'job_id'])
    const node = required(fields, 'node_id', peer)
    return direct(context, request, 'reward', fields, platformAccount(app.status().region), nodeAccount(node))
  })

  server.post('/api/v1/credits/transfer', async (request) => {
    const fields = bodyOf(request, ['from', 'to', 'amount', 'reason'])
    const [from, to] = [required(fields, 'from', account), required(fields, 'to', account)]
    if (from === MINT_ACCOUNT || to === MINT_ACCOUNT)
      throw badRequest(from === MINT_ACCOUNT ? 'from' : 'to', 'user, node or platform')
    if (from === to) throw badRequest('to', 'another account than from')
    return direct(context, request, 'transfer', fields, from, to)
  })
}

async function direct(
  context: ControlContext,
  request: FastifyRequest,
  kind: DirectTransfer['kind'],
  fields: Fields,
  from: AccountId,
  to: AccountId,
): Promise<object> {
  const job: JobId | undefined = optional(fields, 'job_id', jobId)
  const amount = amountOf(fields)
  const why = required(fields, 'reason', reason)
  const row = await context.app.transfer({
    kind,
    from,
    to,
    amount,
    reason: why,
    jobId: job ?? null,
    idempotencyKey: keyOf(context, request),
  })
  return transactionJson(row)
}

function bodyOf(request: FastifyRequest, known: readonly string[]): Fields {
  const fields = object(request.body, 'body')
  refuseUnknown(fields, new Set(known))
  return fields
}

/** Only the canonical text of an amount is accepted here: what is signed into the log must be what was written. */
function amountOf(fields: Fields): bigint {
  const amount = parseAmount(fields['amount'])
  if (amount === undefined || amount <= 0n) throw new FabricError('CF_LEDGER_AMOUNT_INVALID', { param: 'amount' })
  return amount
}

function keyOf(context: ControlContext, request: FastifyRequest): string {
  return idempotencyKeyOf(request) ?? Buffer.from(context.random.bytes(KEY_BYTES)).toString('hex')
}

function accountOf(type: string, id: string): AccountId {
  const found = type === 'mint' ? (id === 'mint' ? MINT_ACCOUNT : undefined) : parseAccountId(`${type}/${id}`)
  if (found === undefined) throw new FabricError('CF_LEDGER_ACCOUNT_UNKNOWN', { param: 'account_id' })
  return found
}

function listTransactions(context: ControlContext, query: Fields): object {
  refuseUnknown(query, new Set(['account_type', 'account_id', 'job_id', 'limit', 'cursor']))
  const { limit, before } = readPage(query)
  const type = optional(query, 'account_type', text(16))
  const id = optional(query, 'account_id', text(64))
  if ((type === undefined) !== (id === undefined)) throw badRequest('account_id', 'to come together with account_type')
  const job = optional(query, 'job_id', jobId)
  const rows = context.app.transfers({
    limit,
    ...(type === undefined || id === undefined ? {} : { account: accountOf(type, id) }),
    ...(job === undefined ? {} : { jobId: job }),
    ...(before === undefined ? {} : { before }),
  })
  const last = rows.at(-1)
  return {
    items: rows.map(transactionJson),
    next_cursor: rows.length === limit && last !== undefined ? String(last.sequence) : null,
  }
}

/** An audit replays the whole log: whoever asks meanwhile shares the answer. */
function singleFlight(audit: () => Promise<AuditView>): () => Promise<AuditView> {
  let running: Promise<AuditView> | undefined
  return () => {
    running ??= audit().finally(() => {
      running = undefined
    })
    return running
  }
}
