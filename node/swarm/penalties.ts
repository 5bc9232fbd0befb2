/** What a peer's misbehaviour, as the jobs name it, costs it at the transport. */
import type { PenaltyReason } from '../runtime/mesh.ts'

/** @returns undefined for what an honest peer may do too: be away, be busy, fail */
export function penaltyOf(reason: string): PenaltyReason | undefined {
  if (reason === 'vote_equivocation') return 'equivocation'
  if (reason.startsWith('signature_') || reason.startsWith('key_') || reason === 'signer_mismatch')
    return 'signature_invalid'
  return reason.startsWith('bytes_') || reason === 'body_malformed' ? 'malformed' : undefined
}
