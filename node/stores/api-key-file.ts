/** The text of the API key file: JSON with amounts as decimal micro-credits; a file with a member that is not known is refused. */
import { type ApiKey, PRIORITIES, ROLES } from '../runtime/access.ts'

export const KEY_FILE_BYTES_MAX = 1_048_576
const VERSION = 1
const ID = /^[0-9a-f]{16}$/
const SHA256 = /^[0-9a-f]{64}$/
const MICRO = /^(0|[1-9][0-9]{0,18})$/
const NAME_CHARS_MAX = 64
const MEMBERS = [
  'id',
  'name',
  'role',
  'priority',
  'rate_per_minute',
  'burst',
  'budget_micro',
  'budget_per_day_micro',
  'open_jobs_max',
  'created_ms',
  'sha256',
]

type Members = Readonly<Record<string, unknown>>

export function formatKeys(keys: readonly ApiKey[]): string {
  const rows = keys.map((key) => ({
    id: key.id,
    name: key.name,
    role: key.role,
    priority: key.priority,
    rate_per_minute: key.ratePerMinute,
    burst: key.burst,
    budget_micro: key.budget?.toString() ?? null,
    budget_per_day_micro: key.budgetPerDay?.toString() ?? null,
    open_jobs_max: key.openJobsMax,
    created_ms: key.createdMs,
    sha256: key.sha256,
  }))
  return `${JSON.stringify({ version: VERSION, keys: rows }, null, 2)}\n`
}

/** @returns undefined when the text is anything but what `formatKeys` writes: a limit that is misspelt must not be no limit */
export function parseKeys(text: string): readonly ApiKey[] | undefined {
  const file = parseJson(text)
  if (!isMembers(file) || file['version'] !== VERSION || !Array.isArray(file['keys'])) return undefined
  const rows: readonly unknown[] = file['keys']
  const keys = rows.map(parseKey).filter((key) => key !== undefined)
  const distinct = new Set(keys.map(({ id }) => id)).size === rows.length
  return keys.length === rows.length && distinct ? keys : undefined
}

function parseKey(row: unknown): ApiKey | undefined {
  if (!isMembers(row) || Object.keys(row).length !== MEMBERS.length) return undefined
  if (!MEMBERS.every((member) => member in row)) return undefined
  const { id, name, sha256 } = row
  const role = ROLES.find((known) => known === row['role'])
  const priority = PRIORITIES.find((known) => known === row['priority'])
  const [ratePerMinute, burst] = [countOrNull(row['rate_per_minute']), countOrNull(row['burst'])]
  const [budget, budgetPerDay] = [amountOrNull(row['budget_micro']), amountOrNull(row['budget_per_day_micro'])]
  const [openJobsMax, createdMs] = [countOrNull(row['open_jobs_max']), countOrNull(row['created_ms'])]
  if (typeof id !== 'string' || !ID.test(id) || typeof sha256 !== 'string' || !SHA256.test(sha256)) return undefined
  if (typeof name !== 'string' || name.length > NAME_CHARS_MAX || role === undefined) return undefined
  if (priority === undefined || ratePerMinute === undefined || burst === undefined) return undefined
  if (budget === undefined || budgetPerDay === undefined || openJobsMax === undefined) return undefined
  if (createdMs === undefined || createdMs === null) return undefined
  const limits = { priority, ratePerMinute, burst, budget, budgetPerDay, openJobsMax }
  return { id, name, role, ...limits, createdMs, sha256 }
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isMembers(value: unknown): value is Members {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function countOrNull(value: unknown): number | null | undefined {
  if (value === null) return null
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : undefined
}

function amountOrNull(value: unknown): bigint | null | undefined {
  if (value === null) return null
  return typeof value === 'string' && MICRO.test(value) ? BigInt(value) : undefined
}
