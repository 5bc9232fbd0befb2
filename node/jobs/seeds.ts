/** Which seed each replica of a job draws its tokens from. */
import { domainHash } from '#core/hash'
import type { Digest } from '../../core/ids.ts'
import { ZERO_DIGEST } from '../../core/ledger/settlement.ts'
import type { Seed, SeedMode } from '../../core/log/inputs.ts'
import { policyIdFor } from '../../core/log/policies.ts'
import type { LogState } from '../../core/log/state.ts'

/**
 * Of 1,000 jobs with several replicas that leave it open, so many have split seeds.
 *
 * Why not more: such a job has no equal outputs, so that all of them are audited. At one in ten whoever copies always is found within 44
 * jobs in 99 of 100 cases, and audits cost about twice what they would without.
 */
export const SPLIT_PERMILLE = 100
const PERMILLE = 1_000

/**
 * Makes the seeds of a job; the same secret makes the same ones.
 *
 * @param secret  32 bytes that no worker can know
 * @param nonce   32 bytes that the client chose the sample by; `hidden` then means `shared`, so that it gets what it asked for
 */
export function seedsFor(
  replicas: number,
  mode: SeedMode,
  secret: Uint8Array,
  nonce: Uint8Array | undefined,
): readonly Seed[] {
  const isSplit = mode === 'split' || (mode === 'hidden' && nonce === undefined && coin(secret) < SPLIT_PERMILLE)
  const root = nonce ?? domainHash('seed-nonce', secret)
  return Array.from({ length: replicas }, (_, replica) => ({
    nonce: isSplit ? domainHash('seed-nonce', root, Uint8Array.of(replica)) : root,
    salt: domainHash('seed-salt', secret, Uint8Array.of(replica)),
  }))
}

/**
 * What a request that does not say gets. Split seeds cost a job the agreement of its replicas, and find a copy by audits alone: where
 * those judge nobody (one owner, audits switched off, no thresholds for the model) equal outputs are all that there is to compare.
 */
export function defaultMode(state: Pick<LogState, 'genesis' | 'policies'>, model: Digest): SeedMode {
  const { local, policy } = state.genesis
  const isJudged = !local && policy.auditPermille > 0 && policyIdFor(state, model) !== ZERO_DIGEST
  return isJudged ? 'hidden' : 'shared'
}

function coin(secret: Uint8Array): number {
  const hash = domainHash('seed-coin', secret)
  return (new DataView(hash.buffer, hash.byteOffset).getUint32(0) * PERMILLE) / 2 ** 32
}
