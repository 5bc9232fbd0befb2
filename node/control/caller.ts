/** Who sent a request, as its key says, and how routes and what they call learn of it. */
import { AsyncLocalStorage } from 'node:async_hooks'
import type { FastifyRequest } from 'fastify'
import { FabricError } from '../../core/errors.ts'
import { invariant } from '../../core/invariant.ts'
import { type ApiKey, type ApiKeys, type KeyLimits, ROLES, type Role } from '../runtime/access.ts'
import type { GuardOptions } from './guard.ts'
import { hasDigest, sameSecret } from './secret.ts'

export type Caller = {
  /** Id of the key, or `local`, `admin`, `api`. */
  readonly id: string
  readonly role: Role
  readonly limits: KeyLimits
  /** What it spends is remembered under its id. */
  readonly isKept: boolean
}

export type CallerOptions = Pick<GuardOptions, 'apiKey' | 'adminKey'> & {
  /** Of keys that have no rate of their own, requests a minute. */
  readonly keyRate: number | null
  /** Of keys that have no bound of their own. */
  readonly openJobsPerKey: number
}

const BEARER = /^Bearer ([\x21-\x7e]{1,256})$/
const KEY_PREFIX = 'cfab_'
const KEY_TEXT = /^cfab_([0-9a-f]{16})_([0-9a-f]{64})$/
const UNLIMITED: KeyLimits = {
  ...{ priority: 'high', ratePerMinute: null, burst: null, budget: null, budgetPerDay: null, openJobsMax: null },
}
const LOCAL: Caller = { id: 'local', role: 'user', limits: UNLIMITED, isKept: false }

/**
 * The caller of a request, by its `Authorization` header and nothing else: a key in an address would end in logs and histories.
 *
 * Why another text than a key of ours is the local owner where none is demanded: OpenAI clients send a placeholder when they have no key.
 *
 * @throws CF_CONTROL_UNAUTHORIZED when a key is demanded and none that is good was sent, or one of ours was that is not good
 */
export function callerOf(request: FastifyRequest, options: CallerOptions, keys: ApiKeys): Caller {
  const given = BEARER.exec(request.headers.authorization ?? '')?.[1]
  if (given !== undefined && sameSecret(given, options.adminKey)) return { ...LOCAL, id: 'admin', role: 'admin' }
  if (given?.startsWith(KEY_PREFIX) === true) return keyCaller(given, options, keys)
  if (options.apiKey === undefined) return LOCAL
  if (given === undefined || !sameSecret(given, options.apiKey))
    throw new FabricError('CF_CONTROL_UNAUTHORIZED', { key: 'api' })
  return { ...LOCAL, id: 'api', limits: { ...UNLIMITED, priority: 'normal', ratePerMinute: options.keyRate } }
}

function keyCaller(text: string, options: CallerOptions, keys: ApiKeys): Caller {
  const [, id = '', secret = ''] = KEY_TEXT.exec(text) ?? []
  const key: ApiKey | undefined = keys.find(id)
  if (key === undefined || !hasDigest(secret, key.sha256))
    throw new FabricError('CF_CONTROL_UNAUTHORIZED', { key: 'api' })
  const ratePerMinute = key.ratePerMinute ?? options.keyRate
  const openJobsMax = key.openJobsMax ?? options.openJobsPerKey
  return { id, role: key.role, limits: { ...key, ratePerMinute, openJobsMax }, isKept: true }
}

/** @throws CF_CONTROL_FORBIDDEN; CF_CONTROL_UNAUTHORIZED when no key came at all and another role than the owner's is needed */
export function checkRole(caller: Caller, role: Role): void {
  if (ROLES.indexOf(caller.role) >= ROLES.indexOf(role)) return
  if (caller.id === LOCAL.id) throw new FabricError('CF_CONTROL_UNAUTHORIZED', { key: role })
  throw new FabricError('CF_CONTROL_FORBIDDEN', { role })
}

const callers = new AsyncLocalStorage<Caller>()

/** Runs work as this caller: whatever it submits, however deep, is counted to its key. */
export function asCaller<T>(caller: Caller, work: () => T): T {
  return callers.run(caller, work)
}

/** Why it crashes outside of a request: a job that nobody answers for would be a way around every limit. */
export function currentCaller(): Caller {
  const caller = callers.getStore()
  invariant(caller !== undefined, 'what is submitted has a caller')
  return caller
}
