/** Turns a validation into its value, or into the refusal that a transport hands back as a code. */
import { FabricError } from '../../core/errors.ts'
import type { Validation } from '../../core/validation.ts'

/** @throws FabricError CF_MESH_REFUSED with the enumerated reason */
export function taken<T>(validation: Validation<T>): T {
  if (validation.action === 'accept') return validation.value
  throw new FabricError('CF_MESH_REFUSED', { reason: validation.reason })
}
