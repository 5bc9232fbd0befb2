/** A job as callers see it. */
import { openAs } from '../../core/identity/envelope.ts'
import type { SwarmId } from '../../core/ids.ts'
import { findingsBodies } from '../../core/job/choice.ts'
import type { Job, Replica } from '../../core/job/job.ts'
import { outputOf } from '../../core/job/receipting.ts'
import { isVerifiable } from '../../core/log/intent.ts'
import { commitmentCodec, revealCodec } from '../../core/verification/commitment.ts'
import type { JobView } from '../runtime/app.ts'
import { outcomeOf } from './feed-shelf.ts'

/** @param model  catalogue id */
export function jobView(job: Job, model: string): JobView {
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
  }
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
