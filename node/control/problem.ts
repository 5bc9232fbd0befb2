/** Errors as HTTP answers, in the shape that OpenAI clients understand: `{ error: { message, type, param, code } }`. */
import { type ErrorDetail, FabricError } from '../../core/errors.ts'
import { formatAmount } from '../../core/ledger/amount.ts'
import { CONTROL_LIMITS } from './bounds.ts'

export type ProblemBody = {
  readonly error: {
    readonly message: string
    readonly type: string
    readonly param: string | null
    readonly code: string
  }
}
export type Problem = {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: ProblemBody
}

const TYPES: Readonly<Record<number, string>> = {
  401: 'authentication_error',
  402: 'insufficient_quota',
  403: 'permission_error',
  404: 'not_found_error',
  409: 'conflict_error',
  429: 'rate_limit_error',
}
const PARAM_CHARS_MAX = 96
/** Details that count micro-credits: people read credits. */
const AMOUNTS = new Set(['hold', 'maxBudget', 'spendable', 'amount', 'refund', 'budgetLeft'])

export function badRequest(param: string, expected: string): FabricError {
  return new FabricError('CF_CONTROL_BAD_REQUEST', { param: shown(param), expected })
}

export function unsupported(param: string, offered: string): FabricError {
  return new FabricError('CF_CONTROL_UNSUPPORTED', { param: shown(param), offered })
}

/** The client's own word for a field, cut so that an error stays small. */
function shown(param: string): string {
  return param.length > PARAM_CHARS_MAX ? `${param.slice(0, PARAM_CHARS_MAX)}...` : param
}

/** `summary (key value, key value)`; `param` has its own place in the answer but is worth reading too. */
export function messageOf(error: FabricError): string {
  const detail = describeDetail(error.detail)
  return detail === '' ? error.row.summary : `${error.row.summary} (${detail})`
}

export function describeDetail(detail: ErrorDetail): string {
  return Object.entries(detail)
    .map(([key, value]) => `${key} ${typeof value === 'bigint' && AMOUNTS.has(key) ? formatAmount(value) : value}`)
    .join(', ')
}

export function problemOf(error: FabricError): Problem {
  const { http: status, retry } = error.row
  const param = error.detail['param']
  const headers: Record<string, string> = {}
  const afterSeconds = error.detail['retryAfterSeconds'] ?? CONTROL_LIMITS.retryAfterSeconds
  // RFC 6585 4 and RFC 9110 15.6.4: a client that is told when comes back then, and not at once.
  if (status === 429 || status === 503) headers['retry-after'] = String(afterSeconds)
  // The official client repeats every 409 and 5xx unless told that it is of no use.
  if (retry === 'never') headers['x-should-retry'] = 'false'
  const type = TYPES[status] ?? (status >= 500 ? 'server_error' : 'invalid_request_error')
  return {
    status,
    headers,
    body: {
      error: { message: messageOf(error), type, param: typeof param === 'string' ? param : null, code: error.code },
    },
  }
}

/** What the HTTP library refused, in our codes; `undefined` for an exception that nobody expected. */
export function fabricErrorOf(error: unknown): FabricError | undefined {
  if (error instanceof FabricError) return error
  if (!(error instanceof Error) || !('code' in error) || typeof error.code !== 'string') return undefined
  if (error.code === 'FST_ERR_CTP_BODY_TOO_LARGE')
    return new FabricError('CF_CONTROL_BODY_TOO_LARGE', { bytesMax: CONTROL_LIMITS.bodyBytesMax })
  if (error.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return badRequest('content-type', 'application/json')
  const refused =
    'statusCode' in error && typeof error.statusCode === 'number' && error.statusCode >= 400 && error.statusCode < 500
  return refused ? new FabricError('CF_CONTROL_BAD_REQUEST', { reason: error.code }) : undefined
}
