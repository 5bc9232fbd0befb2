/** `/api/v1/keys`: API keys for the operator. A secret is shown once, in the answer that makes it. */
import type { FastifyInstance } from 'fastify'
import { formatAmount } from '../../core/ledger/amount.ts'
import { type ApiKey, type KeyWish, PRIORITIES, ROLES } from '../runtime/access.ts'
import type { ControlContext } from './context.ts'
import { credits, type Fields, integer, object, oneOf, optional, parsed, refuseUnknown, required } from './fields.ts'
import { isoTime } from './present.ts'

const KNOWN = new Set([
  ...['name', 'role', 'priority', 'rate_per_minute', 'burst', 'budget', 'budget_per_day', 'open_jobs_max'],
])
const COUNT_MAX = 1_000_000
const NAME = /^[\p{L}\p{N}][\p{L}\p{N} ._@/-]{0,63}$/u
const KEY_ID = /^[0-9a-f]{16}$/
const name = parsed((value) => (typeof value === 'string' && NAME.test(value) ? value : undefined), 'a short name')
const keyId = parsed((value) => (typeof value === 'string' && KEY_ID.test(value) ? value : undefined), 'a key id')

export function keyRoutes(server: FastifyInstance, { keys, limits, budgets }: ControlContext): void {
  server.get('/api/v1/keys', async () => {
    limits.sweep()
    return {
      items: keys.list().map((key) => {
        const { spent, spentToday, held } = budgets.figures(key.id)
        return {
          ...keyJson(key),
          spent: formatAmount(spent),
          spent_today: formatAmount(spentToday),
          held: formatAmount(held),
          open_jobs: limits.openOf(key.id),
        }
      }),
    }
  })

  server.post('/api/v1/keys', async (request, reply) => {
    const { key, text } = await keys.add(readKeyWish(object(request.body, 'body')))
    return reply.code(201).send({ ...keyJson(key), key: text })
  })

  server.delete<{ Params: { id: string } }>('/api/v1/keys/:id', async (request) =>
    keyJson(await keys.revoke(keyId(request.params.id, 'id'))),
  )
}

/** @throws CF_CONTROL_BAD_REQUEST with `param`; also for what the command line was given */
export function readKeyWish(fields: Fields): KeyWish {
  refuseUnknown(fields, KNOWN)
  const count = integer(1, COUNT_MAX)
  return {
    name: required(fields, 'name', name),
    role: required(fields, 'role', oneOf(...ROLES)),
    priority: optional(fields, 'priority', oneOf(...PRIORITIES)) ?? 'normal',
    ratePerMinute: optional(fields, 'rate_per_minute', count) ?? null,
    burst: optional(fields, 'burst', count) ?? null,
    budget: optional(fields, 'budget', credits) ?? null,
    budgetPerDay: optional(fields, 'budget_per_day', credits) ?? null,
    openJobsMax: optional(fields, 'open_jobs_max', count) ?? null,
  }
}

/** A key without its hash: of no use to anybody who reads this. */
export function keyJson(key: ApiKey): object {
  return {
    id: key.id,
    name: key.name,
    role: key.role,
    priority: key.priority,
    rate_per_minute: key.ratePerMinute,
    burst: key.burst,
    budget: key.budget === null ? null : formatAmount(key.budget),
    budget_per_day: key.budgetPerDay === null ? null : formatAmount(key.budgetPerDay),
    open_jobs_max: key.openJobsMax,
    created: isoTime(key.createdMs),
  }
}
