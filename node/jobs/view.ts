/** A job as callers see it. */
import { openAs } from '../../core/identity/envelope.ts'
import type { SwarmId } from '../../core/ids.ts'
import { findingsBodies } from '../../core/job/choice.ts'
import type { Job, Replica } from '../../core/job/job.ts'
import { outputOf } from '../../core/job/receipting.ts'
import type { LoggedDispute } from '../../core/log/state.ts'
import { auditCodec } from '../../core/verification/audit.ts'
import { commitmentCodec, revealCodec } from '../../core/verification/commitment.ts'
import { isVerifiable } from '../../core/verification/replayable.ts'
import type { JobView } from '../runtime/app.ts'
import type { DisputeView } from '../runtime/disputes.ts'
import type { ReportView } from '../runtime/reports.ts'
import { outcomeOf } from './feed-shelf.ts'

/**
 * @param model     catalogue id
 * @param disputes  as the log has them
 */
export function jobView(job: Job, model: string, disputes: readonly LoggedDispute[] = []): JobView {
  const findings = 'findings' in job ? findingsBodies(job.findings) : []
  const replicas = 'replicas' in job ? job.replicas : []
  const outcome = job.phase === 'settled' ? outcomeOf(job) : undefined
  return {
    ...{
      id: job.id,
      phase: job.phase,
      createdMs: Number(job.hold.timeMs),
      model,
      task: job.intent.task,
      verifiable: isVerifiable(job.intent.sampling),
      user: job.user,
      hold: job.hold.amount,
    },
    replicas: replicas.map((replica, index) => ({
      worker: replica.worker,
      state: replica.state === 'lost' ? `lost: ${replica.reason}` : replica.state,
      verdict: findings[index]?.verdict ?? null,
      tokens: job.intent.task === 'embedding' ? null : tokenCountOf(replica, job.swarmId as SwarmId),
    })),
    cost: outcome?.cost ?? null,
    refund: outcome?.refund ?? null,
    outcome: outcome?.outcome ?? null,
    assurance: outcome?.assurance ?? null,
    reason: outcome?.reason ?? (job.phase === 'failed' ? job.reason : null),
    text: job.phase === 'settled' && job.intent.task !== 'embedding' ? textOf(outputOf(job)) : null,
    reports: reportsOf(job),
    disputes: disputes.map(disputeView),
  }
}

function reportsOf(job: Job): readonly ReportView[] {
  const audits = 'audits' in job ? job.audits : []
  return audits.flatMap(({ reports }) =>
    reports.flatMap((report) => {
      const opened = openAs(auditCodec, report, job.swarmId as SwarmId)
      if (opened.action !== 'accept') return []
      const { signer: auditor, value } = opened.value
      const { replica, verdict, positions, meanMicro, worstMicro, replayMs } = value
      return [{ replica, auditor, verdict, positions, meanMicro, worstMicro, replayMs }]
    }),
  )
}

export function disputeView({ replica, claim, opener, openedMs, bond, outcome }: LoggedDispute): DisputeView {
  return { replica, claim, opener, openedMs: Number(openedMs), bond, outcome }
}

function tokenCountOf(replica: Replica, swarmId: SwarmId): number | null {
  if (!('commitment' in replica)) return null
  const opened = openAs(commitmentCodec, replica.commitment, swarmId)
  return opened.action === 'accept' ? opened.value.value.tokenCount : null
}

function textOf(output: Uint8Array): string | null {
  const reveal = revealCodec.decode(output)
  return reveal.action === 'accept' ? reveal.value.text : null
}
