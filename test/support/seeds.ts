/** Seeds of test jobs. */
import { jobInputsCodec, replicaInputsOf, type Seed } from '../../core/log/inputs.ts'

export const SEED_NONCE = new Uint8Array(32).fill(1)

/** One seed for all replicas. @param nonce  what it is made of */
export function sharedSeeds(replicas: number, nonce: Uint8Array = SEED_NONCE): readonly Seed[] {
  return Array.from({ length: replicas }, (_, replica) => ({ nonce, salt: new Uint8Array(32).fill(100 + replica) }))
}

/** A seed of its own for each. */
export function splitSeeds(replicas: number): readonly Seed[] {
  return sharedSeeds(replicas).map(({ salt }, replica) => ({ nonce: new Uint8Array(32).fill(replica + 1), salt }))
}

/** What a client hands to its edge. */
export function jobInputs(payload: Uint8Array, seeds: readonly Seed[] = sharedSeeds(1)): Uint8Array {
  return jobInputsCodec.encode({ payload, seeds })
}

/** What a worker is told of its replica. */
export function replicaInputs(payload: Uint8Array, replica = 0, seeds: readonly Seed[] = sharedSeeds(1)): Uint8Array {
  return replicaInputsOf(jobInputs(payload, seeds), replica)
}
