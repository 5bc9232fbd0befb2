/** What is found about outputs, held against what the simulation knows of them: who lied and who did not. */
import type { PeerId } from '../../core/ids.ts'
import { findingsBodies } from '../../core/job/choice.ts'
import { type Job, PHASES, type SettledJob } from '../../core/job/job.ts'
import { settlementCodec } from '../../core/ledger/settlement.ts'
import type { Finding } from '../../core/verification/finding.ts'
import type { PeerKind } from '../runtime/simulation.ts'
import type { Violations } from './violations.ts'

export class WorkChecker {
  readonly #violations: Violations
  readonly #kindOf: (peer: PeerId) => PeerKind

  constructor(violations: Violations, kindOf: (peer: PeerId) => PeerKind) {
    this.#violations = violations
    this.#kindOf = kindOf
  }

  stepped(before: Job, after: Job): void {
    // Another attempt begins at the top.
    if (after.attempt === before.attempt && PHASES.indexOf(after.phase) < PHASES.indexOf(before.phase))
      this.#violations.found('phases-go-down', `${before.phase} became ${after.phase}`)
  }

  judged(job: Job & { phase: 'verified' }): void {
    for (const finding of findingsBodies(job.findings)) this.#judged(job, finding)
  }

  /** What a settlement says of its answer is what a user relies on: a lie that was paid for may not be called checked. */
  settled({ id, chosen, replicas, settlement }: SettledJob): void {
    const worker = chosen === null ? undefined : replicas[chosen]?.worker
    const body = settlementCodec.decode(settlement.body)
    if (worker === undefined || this.#kindOf(worker) !== 'liar' || body.action !== 'accept') return
    const { assurance } = body.value
    if (assurance === 'replicated' || assurance === 'audited')
      this.#violations.found('no-lie-is-verified', `the answer of job ${id} is a lie and is called ${assurance}`)
  }

  /** Every liar has an output of its own, so with more than one replica nobody can vouch for it. */
  #judged(job: Job & { phase: 'verified' }, { replica, worker, verdict, reason }: Finding): void {
    const lies = this.#kindOf(worker) === 'liar'
    if (lies && verdict === 'pass' && job.replicas.length > 1)
      this.#violations.found('no-lie-passes', `${worker} lied in job ${job.id} and passes`)
    if (!lies && verdict === 'fail' && job.replicas[replica]?.state === 'revealed')
      this.#violations.found('honest-work-stands', `${worker} did not lie in job ${job.id} and fails: ${reason}`)
  }
}
