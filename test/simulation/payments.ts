/** Follows the money of every job through the log, by other sums than the ledger's own. */
import { type JobId, userAccount } from '../../core/ids.ts'
import type { Transfer } from '../../core/ledger/transfer.ts'
import type { Applied } from '../../core/log/apply.ts'
import type { LogState } from '../../core/log/state.ts'
import { violated } from './violation.ts'

export class Payments {
  readonly #settled = new Set<string>()
  readonly #paid = new Set<string>()
  /** Sum of what has been put aside and not yet paid or given back, by user. */
  readonly #held = new Map<string, bigint>()

  applied(applied: Applied, after: LogState): void {
    if (applied.kind === 'settlement' && applied.jobId !== null) this.#settle(applied.jobId, applied.transfers, after)
    for (const transfer of applied.transfers) this.#follow(transfer)
    for (const [id, held] of this.#held) {
      const account = after.accounts.get(id)
      if ((account?.held ?? 0n) !== held)
        violated('holds-add-up', `held is ${account?.held}, the open holds are ${held}`)
    }
  }

  atEnd(state: LogState): void {
    for (const [id, { held }] of state.accounts.entries())
      if (held !== 0n) violated('jobs-settle', `${held} of ${id} is held for ever`)
    for (const [id] of state.jobs.entries()) {
      if (!this.#settled.has(id)) violated('jobs-settle', 'a job was never settled')
    }
  }

  #follow(transfer: Transfer): void {
    const { op, kind, debit, credit, amount, jobId, nodeId } = transfer
    if (op === 'hold') this.#held.set(debit, (this.#held.get(debit) ?? 0n) + amount)
    if (op === 'post') this.#held.set(debit, (this.#held.get(debit) ?? 0n) - amount)
    if (op === 'void') this.#held.set(credit, (this.#held.get(credit) ?? 0n) - amount)
    if (op !== 'post') return
    const key = `${jobId}/${kind}/${nodeId}`
    if (this.#paid.has(key)) violated('paid-once', `a node is paid its ${kind} twice for one job`)
    this.#paid.add(key)
  }

  #settle(id: JobId, transfers: readonly Transfer[], state: LogState): void {
    if (this.#settled.has(id)) violated('one-settlement', 'a job is settled twice')
    this.#settled.add(id)
    const job = state.jobs.get(id)
    if (job?.settlement === undefined || job.settlement === null)
      violated('one-settlement', 'a settlement leaves its job open')
    const sum = transfers.reduce((total, { amount }) => total + amount, 0n)
    if (sum !== job.holdAmount) violated('money-conserved', `a hold of ${job.holdAmount} was shared out as ${sum}`)
    if (transfers.some((transfer) => transfer.op === 'post' && transfer.debit !== userAccount(job.user)))
      violated('money-conserved', 'another user pays')
  }
}
