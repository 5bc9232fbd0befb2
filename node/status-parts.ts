/** Parts of what `status` shows. */
import type { AccountId } from '../core/ids.ts'
import type { Member } from './jobs/pool/member.ts'
import type { AccountView, JobView, ModelState, StatusView } from './runtime/app.ts'

/** A model that is not in memory is loaded for whoever asks. */
export const ON_DEMAND: ReadonlySet<ModelState> = new Set(['absent', 'waiting', 'unloading'])

export function modelState({ entry: { id, task }, state, failure }: Member): StatusView['models'][number] {
  return { id, task, state, reason: failure?.error.code ?? null }
}

export function idleReason(host: StatusView['hostState'], openJobs: number, members: number): string | null {
  if (openJobs > 0) return null
  if (host === 'failed') return 'the chat model could not be loaded: the log says why'
  if (host !== 'ready' && !ON_DEMAND.has(host)) return `the compute host is ${host}`
  return members === 0 ? 'the roster is empty' : 'no jobs: nobody has asked for one'
}

export function total(id: AccountId, accounts: readonly AccountView[]): AccountView {
  const sum = (field: 'spendable' | 'held' | 'pending') =>
    accounts.reduce((amount, account) => amount + account[field], 0n)
  return { id, spendable: sum('spendable'), held: sum('held'), pending: sum('pending'), recent: [] }
}

/** @param outcomes  of jobs that have ended, and of those that have not */
export function endedOf(
  outcomes: readonly (JobView['outcome'] | undefined)[],
): Pick<StatusView['jobs'], 'settledLastHour' | 'refundedLastHour'> {
  const ended = outcomes.filter((outcome) => outcome !== undefined && outcome !== null)
  const refunded = ended.filter((outcome) => outcome === 'refunded' || outcome === 'rejected')
  return { settledLastHour: ended.length - refunded.length, refundedLastHour: refunded.length }
}
