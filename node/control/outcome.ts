/** How a job's end is told to HTTP clients. */
import { type ErrorCode, FabricError } from '../../core/errors.ts'
import type { JobId } from '../../core/ids.ts'
import { formatAmount } from '../../core/ledger/amount.ts'
import type { JobHandle, JobOutcome } from '../runtime/app.ts'

/** The `cfab` member of a chat answer. Cost and refund are null until the job has settled. */
export type FabricMember = {
  readonly outcome: string
  readonly assurance: string | null
  readonly reason: string | null
  /** False when its sampler cannot be replayed: the outcome then rests on the structure of the output alone. */
  readonly verifiable: boolean
  readonly job_id: string
  readonly receipt_id: string
  readonly receipt_url: string
  readonly cost: string | null
  readonly refund: string | null
}

export function receiptUrl(id: JobId): string {
  return `/api/v1/p2p/receipts/${id}`
}

export function fabricMember(job: Pick<JobHandle, 'id' | 'verifiable'>, ending: JobOutcome): FabricMember {
  const pending = ending.outcome === 'pending'
  return {
    outcome: ending.outcome,
    assurance: ending.assurance === '' ? null : ending.assurance,
    reason: ending.reason === '' ? null : ending.reason,
    verifiable: job.verifiable,
    job_id: job.id,
    receipt_id: ending.receiptId,
    receipt_url: receiptUrl(ending.receiptId),
    cost: pending ? null : formatAmount(ending.cost),
    refund: pending ? null : formatAmount(ending.refund),
  }
}

const FAILURES: Readonly<Record<string, ErrorCode>> = {
  no_workers: 'CF_JOB_NO_WORKERS',
  all_replicas_lost: 'CF_WORKER_HOST_LOST',
}

/** A job that ended without an answer, as the error that the caller of a chat expects. */
export function failureOf(jobId: JobId, ending: JobOutcome): FabricError {
  return new FabricError(FAILURES[ending.reason] ?? 'CF_JOB_FAILED', {
    reason: ending.reason,
    job: jobId,
    refund: formatAmount(ending.refund),
  })
}
