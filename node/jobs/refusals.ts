/** The log's refusals, as the codes that callers know. */
import { type ErrorCode, FabricError } from '../../core/errors.ts'
import type { RefusalReason, Refused } from '../../core/log/refusal.ts'

const CODES: Partial<Record<RefusalReason, ErrorCode>> = {
  signature_invalid: 'CF_IDENTITY_SIGNATURE_INVALID',
  body_malformed: 'CF_JOB_INVALID',
  intent_out_of_bounds: 'CF_JOB_INVALID',
  region_mismatch: 'CF_JOB_INVALID',
  nonce_used: 'CF_JOB_NONCE_USED',
  intent_expired: 'CF_JOB_EXPIRED',
  intent_lifetime: 'CF_JOB_EXPIRED',
  budget_exceeded: 'CF_JOB_OVER_BUDGET',
  insufficient_credit: 'CF_LEDGER_INSUFFICIENT_CREDIT',
  idempotency_conflict: 'CF_LEDGER_IDEMPOTENCY_CONFLICT',
  account_unknown: 'CF_LEDGER_ACCOUNT_UNKNOWN',
  amount_out_of_range: 'CF_LEDGER_AMOUNT_INVALID',
  authority_missing: 'CF_CONTROL_UNAUTHORIZED',
  dispute_window_closed: 'CF_JOB_DISPUTE_CLOSED',
  dispute_unfounded: 'CF_JOB_DISPUTE_REFUSED',
  dispute_open: 'CF_JOB_DISPUTE_REFUSED',
  dispute_decided: 'CF_JOB_DISPUTE_REFUSED',
  dispute_count: 'CF_JOB_DISPUTE_REFUSED',
  dispute_repeated: 'CF_JOB_DISPUTE_REFUSED',
}

export function refusalError(refused: Refused): FabricError {
  return new FabricError(CODES[refused.reason] ?? 'CF_LEDGER_REFUSED', { reason: refused.reason })
}
