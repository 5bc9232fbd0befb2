/** Disputes as the control plane shows them. */
import type { PeerId } from '../../core/ids.ts'
import type { DisputeClaim, DisputeOutcome } from '../../core/verification/dispute.ts'

/** Somebody does not agree about a replica's finding. */
export type DisputeView = {
  readonly replica: number
  readonly claim: DisputeClaim
  readonly opener: PeerId
  readonly openedMs: number
  readonly bond: bigint
  /** Null while its referees are at work. */
  readonly outcome: DisputeOutcome | null
}
