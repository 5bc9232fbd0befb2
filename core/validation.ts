/**
 * What a peer's bytes deserve: `reject` blames the sender, `ignore` does not (GossipSub v1.1 validation results).
 * Reasons are enumerated so that a metric can count them and no peer's text reaches a log line.
 */
export const REJECT_REASONS = [
  'bytes_too_large',
  'bytes_truncated',
  'bytes_trailing',
  'bytes_not_canonical',
  'bytes_type_not_allowed',
  'bytes_too_deep',
  'bytes_too_many_items',
  'body_malformed',
  'version_unknown',
  'envelope_type_mismatch',
  'key_not_canonical',
  'key_not_on_curve',
  'key_small_order',
  'key_not_torsion_free',
  'signature_malformed',
  'signature_invalid',
  'swarm_mismatch',
  'voter_not_in_set',
  'voter_excluded',
  'vote_subject_mismatch',
  'vote_equivocation',
  'certificate_without_quorum',
  'certificate_not_minimal',
  'certificate_duplicate_voter',
  'proposal_mismatch',
  'commitment_mismatch',
  'chunk_out_of_order',
  'chunk_mismatch',
  'signer_mismatch',
  'amount_out_of_range',
  'box_malformed',
  'box_unopened',
] as const
export type RejectReason = (typeof REJECT_REASONS)[number]

export const IGNORE_REASONS = ['already_seen', 'stale', 'unknown_parent', 'not_for_us'] as const
export type IgnoreReason = (typeof IGNORE_REASONS)[number]

export type Rejected = { readonly action: 'reject'; readonly reason: RejectReason; readonly where?: string }
export type Ignored = { readonly action: 'ignore'; readonly reason: IgnoreReason }
export type Accepted<T> = { readonly action: 'accept'; readonly value: T }
export type Validation<T> = Accepted<T> | Rejected | Ignored

export function accept<T>(value: T): Accepted<T> {
  return { action: 'accept', value }
}

/** @param where  the path of the offending field, for offline verification messages; never a peer's text */
export function reject(reason: RejectReason, where?: string): Rejected {
  return where === undefined ? { action: 'reject', reason } : { action: 'reject', reason, where }
}

export function ignore(reason: IgnoreReason): Ignored {
  return { action: 'ignore', reason }
}
