/** Faults planted on purpose, each of which a checker must find: otherwise the checker proves nothing. */
import { type JobId, nodeAccount, userAccount } from '../../core/ids.ts'
import type { Applied } from '../../core/log/apply.ts'
import { settlementEntryCodec } from '../../core/log/bodies-certified.ts'
import type { EntryKind } from '../../core/log/entry.ts'
import { forkState, type LoggedJob, type LogState } from '../../core/log/state.ts'
import { Table } from '../../core/log/table.ts'
import { validatorSet } from '../../core/quorum/validators.ts'

export const BUGS = {
  'quorum-f-plus-1': 'two votes of four are a quorum',
  'vote-not-stored': 'a validator sends its vote without writing it down',
  'double-settlement': 'a settlement that is proposed again is applied to the job row of before',
  'lost-refund': 'a failed job is taken for a finished one',
  'nonce-reuse': 'a hold does not ask whether its nonce is used',
  'money-created': 'the dust of the fee is paid twice',
} as const
export type BugName = keyof typeof BUGS

export function isBugName(name: string): name is BugName {
  return Object.hasOwn(BUGS, name)
}

/** The validator set that the buggy swarm believes in. */
export function withBugOfGenesis(bug: BugName | undefined, state: LogState): LogState {
  if (bug !== 'quorum-f-plus-1') return state
  const { epoch, keys } = state.validators
  return { ...state, validators: validatorSet(epoch, keys, 2) }
}

/** The region log with a bug in it: rewrites the state that an entry is applied to, and the one that comes out. */
export class LogSabotage {
  readonly #bug: BugName | undefined
  readonly #beforeSettlement = new Map<JobId, LoggedJob>()

  constructor(bug: BugName | undefined) {
    this.#bug = bug
  }

  /** @returns a state to apply the entry to */
  before(state: LogState, kind: EntryKind, body: Uint8Array): LogState {
    const fork = forkState(state)
    if (this.#bug === 'nonce-reuse' && kind === 'hold') return { ...fork, nonces: Table.root() }
    if (this.#bug === 'double-settlement' && kind === 'settlement') this.#unsettle(fork, body)
    return fork
  }

  after(before: LogState, after: LogState, { kind, jobId, transfers }: Applied): void {
    if (kind !== 'settlement' || jobId === null) return
    const job = before.jobs.get(jobId)
    if (job !== undefined && job.phase !== 'settled') this.#beforeSettlement.set(jobId, job)
    if (this.#bug === 'money-created') payDustAgain(after, transfers)
  }

  #unsettle(state: LogState, body: Uint8Array): void {
    const entry = settlementEntryCodec.decode(body)
    if (entry.action !== 'accept') return
    const job = [...this.#beforeSettlement.values()].find(({ id }) => id === entry.value.jobId)
    if (job === undefined) return
    const account = state.accounts.get(userAccount(job.user))
    // Only where the books allow it: else the core's own assertion would stop it before a checker could.
    if (account === undefined || account.balance < account.held + job.holdLeft) return
    state.accounts.set(userAccount(job.user), { ...account, held: account.held + job.holdLeft })
    state.jobs.set(job.id, job)
  }
}

function payDustAgain(state: LogState, transfers: Applied['transfers']): void {
  const fees = transfers.filter((transfer) => transfer.kind === 'fee')
  const least = fees.at(-1)
  const lucky = fees.find((fee) => least !== undefined && fee.amount > least.amount)
  if (lucky?.nodeId === undefined || lucky.nodeId === null) return
  const id = nodeAccount(lucky.nodeId)
  const account = state.accounts.get(id)
  if (account !== undefined) state.accounts.set(id, { ...account, balance: account.balance + 1n })
}
