/** Why the log refuses an entry: enumerated, so that callers can answer with the right code and metrics can count. */
import type { Digest, JobId } from '../ids.ts'
import { TRANSFER_REFUSALS } from '../ledger/rules.ts'
import type { RejectReason, Validation } from '../validation.ts'

/** Form first, then the chain, then what each kind asks; docs/PROTOCOL.md#log-entries gives the order within a kind. */
export const REFUSAL_REASONS = [
  'entry_too_large',
  'entry_malformed',
  'index_mismatch',
  'previous_mismatch',
  'time_not_monotone',
  'time_out_of_range',
  'genesis_expected',
  'genesis_mismatch',
  'genesis_repeated',
  'body_malformed',
  'signature_invalid',
  'authority_missing',
  'intent_out_of_bounds',
  'region_mismatch',
  'job_exists',
  'nonce_used',
  'intent_expired',
  'intent_lifetime',
  'budget_exceeded',
  'idempotency_conflict',
  'idempotency_repeat',
  'account_unknown',
  'job_unknown',
  'job_phase',
  'attempt_mismatch',
  'assignment_mismatch',
  'assignment_late',
  'finding_mismatch',
  'finding_repeated',
  'settlement_mismatch',
  'findings_missing',
  'chosen_unsound',
  'deadline_not_reached',
  'correction_mismatch',
  'epoch_mismatch',
  'roster_missing',
  'validator_set_unsound',
  'snapshot_mismatch',
  'evidence_invalid',
  'evidence_repeated',
  'invite_expired',
  'invite_spent',
  'certificate_invalid',
  'policy_repeated',
  'dispute_window_closed',
  'dispute_unfounded',
  'dispute_open',
  'dispute_decided',
  'dispute_count',
  'dispute_repeated',
  ...TRANSFER_REFUSALS,
] as const
export type RefusalReason = (typeof REFUSAL_REASONS)[number]

export type Refused = {
  readonly status: 'refused'
  readonly reason: RefusalReason
  /** `job_exists`, `nonce_used`: the job that was there before. */
  readonly jobId?: JobId
  /** `idempotency_repeat`, `idempotency_conflict`: the entry that used the key first. */
  readonly entryHash?: Digest
}

export function refuse(reason: RefusalReason, earlier: Pick<Refused, 'jobId' | 'entryHash'> = {}): Refused {
  return { status: 'refused', reason, ...earlier }
}

/** Envelope and body faults come down to two: the bytes are wrong, or their signature is. */
export function refuseInvalid(validation: Exclude<Validation<unknown>, { action: 'accept' }>): Refused {
  return refuse(
    validation.action === 'reject' && isSignatureFault(validation.reason) ? 'signature_invalid' : 'body_malformed',
  )
}

function isSignatureFault(reason: RejectReason): boolean {
  return reason.startsWith('signature_') || reason.startsWith('key_')
}
