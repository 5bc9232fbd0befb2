/** Follows the money through the log by other sums than the ledger's own: after every entry, and once more at the end. */
import { type JobId, userAccount } from '../../core/ids.ts'
import type { Transfer } from '../../core/ledger/transfer.ts'
import { type Applied, auditBooks } from '../../core/log/apply.ts'
import type { LogState } from '../../core/log/state.ts'
import type { Violations } from './violations.ts'

export class MoneyChecker {
  readonly #violations: Violations
  readonly #settled = new Set<JobId>()
  /** Sum of what has been put aside and not yet paid or given back, by account. */
  readonly #held = new Map<string, bigint>()

  constructor(violations: Violations) {
    this.#violations = violations
  }

  applied(applied: Applied, after: LogState): void {
    const { total } = auditBooks(after)
    if (total !== 0n) this.#violations.found('money-conserved', `the books sum to ${total} after ${applied.kind}`)
    if (applied.kind === 'settlement' && applied.jobId !== null) this.#settle(applied.jobId, applied.transfers, after)
    const payers = new Set(applied.transfers.flatMap((transfer) => this.#follow(transfer)))
    for (const payer of payers) {
      const [booked, held] = [after.accounts.get(payer)?.held ?? 0n, this.#held.get(payer) ?? 0n]
      if (booked !== held)
        this.#violations.found('holds-add-up', `${booked} of ${payer} is held, its open holds are ${held}`)
    }
  }

  atEnd(state: LogState): void {
    for (const [id, { held }] of state.accounts.entries())
      if (held !== 0n) this.#violations.found('holds-closed', `${held} of ${id} is held for ever`)
    for (const [id, job] of state.jobs.entries()) {
      if (job.phase !== 'settled' || !this.#settled.has(job.id))
        this.#violations.found('jobs-settle', `job ${id} is ${job.phase} at the end`)
    }
  }

  /** @returns whose hold it changes */
  #follow({ op, debit, credit, amount }: Transfer): readonly string[] {
    if (op === 'direct') return []
    const payer = op === 'void' ? credit : debit
    this.#held.set(payer, (this.#held.get(payer) ?? 0n) + (op === 'hold' ? amount : -amount))
    return [payer]
  }

  #settle(id: JobId, transfers: readonly Transfer[], state: LogState) {
    if (this.#settled.has(id)) this.#violations.found('one-settlement', `job ${id} is settled twice`)
    this.#settled.add(id)
    const job = state.jobs.get(id)
    if (job === undefined || job.settlement === null)
      return this.#violations.found('one-settlement', `the settlement of job ${id} leaves it open`)
    const sum = transfers.reduce((total, { amount }) => total + amount, 0n)
    if (sum !== job.holdAmount)
      this.#violations.found('money-conserved', `a hold of ${job.holdAmount} was shared out as ${sum}`)
    const posts = transfers.filter(({ op }) => op === 'post')
    if (posts.some(({ debit }) => debit !== userAccount(job.user)))
      this.#violations.found('money-conserved', `another user pays for job ${id}`)
    if (new Set(posts.map(({ kind, nodeId }) => `${kind}/${nodeId}`)).size !== posts.length)
      this.#violations.found('paid-once', `a node is paid twice for one part in job ${id}`)
  }
}
