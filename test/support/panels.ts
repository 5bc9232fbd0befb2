/** Jobs that the lot gives a panel of auditors, or none, and reports that are bound to each other as an edge has them bound. */
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import type { SwarmId } from '../../core/ids.ts'
import type { AuditPlan } from '../../core/job/judge-audits.ts'
import { auditCodec, auditCommit } from '../../core/verification/audit.ts'
import { expectAccepted, secretOf } from './job-run.ts'
import { missing } from './missing.ts'

/** One in ten has a panel: within so many tries there is one of either kind. */
const NONCES = 400n

/** @param make  a job by its intent's nonce */
export function whereLot<Made extends { readonly plan: AuditPlan }>(
  isPanel: boolean,
  make: (nonce: bigint) => Made,
): Made {
  for (let nonce = 1n; nonce <= NONCES; nonce += 1n) {
    const made = make(nonce)
    if (made.plan.tasks.every((task) => task.isPanel === isPanel)) return made
  }
  return missing(isPanel ? 'a job with panels' : 'a job without panels')
}

/** The same reports, each signed with what the others are bound to. */
export function bound(swarmId: SwarmId, envelopes: readonly Uint8Array[]): readonly Uint8Array[] {
  const opened = envelopes.map((envelope) => expectAccepted(openAs(auditCodec, envelope, swarmId)))
  const commits = opened.map(({ value }) => auditCommit(swarmId, value))
  return opened.map(({ value, signer }, place) => {
    const others = commits.filter((_, other) => other !== place)
    return sealAs(auditCodec, { ...value, others }, swarmId, secretOf(signer))
  })
}
