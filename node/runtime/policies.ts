/** Tables of audit thresholds as the control plane sees them. */
import type { Digest, PeerId } from '../../core/ids.ts'
import type { PolicyTable } from '../../core/verification/policy-table.ts'

export type PolicyView = {
  readonly id: Digest
  readonly model: Digest
  /** As this node calls the model; null when it does not know it. */
  readonly modelName: string | null
  readonly engine: string
  /** Jobs that are held now are judged by it; the others are of jobs held earlier. */
  readonly inForce: boolean
  readonly rows: PolicyTable['rows']
}

export interface Policies {
  /** Of all models, by digest. */
  list(): readonly PolicyView[]
  /**
   * Makes a table count in this swarm, for the jobs that are held from here on; one that counts already is left as it is.
   *
   * @param file  what `cfab-node calibrate` wrote
   * @returns     the table, and who calibrated it
   * @throws      CF_CONTROL_BAD_REQUEST for anything else, CF_CONTROL_UNAUTHORIZED where the mint key is not, CF_MESH_* without a log
   */
  publish(file: Uint8Array): Promise<{ readonly policy: PolicyView; readonly calibratedBy: PeerId }>
}
