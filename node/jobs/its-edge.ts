/** Who may speak for a job: the edge that its hold names, by the key of the connection that the request came on. */
import { FabricError } from '../../core/errors.ts'
import type { JobId, PeerId } from '../../core/ids.ts'
import type { LoggedJob, LogState } from '../../core/log/state.ts'
import type { Clock } from '../runtime/ports.ts'
import { whenLogged } from './lag.ts'

/**
 * The job, once the log here has it.
 *
 * Why nobody else may: intents are public in the log. Whoever copied one could choose its workers among the answers, use its attempts
 * up and have its output revealed before it is due.
 *
 * @param from  who asks
 * @throws FabricError CF_MESH_REFUSED unknown_parent after a bounded wait, not_its_edge
 */
export async function jobOfEdge(
  state: () => LogState,
  id: JobId,
  from: PeerId,
  clock: Clock,
  signal: AbortSignal,
): Promise<LoggedJob> {
  await whenLogged(() => state().jobs.get(id) !== undefined, clock, signal)
  const job = state().jobs.get(id)
  if (job === undefined) throw new FabricError('CF_MESH_REFUSED', { reason: 'unknown_parent' })
  if (job.edge !== from) throw new FabricError('CF_MESH_REFUSED', { reason: 'not_its_edge' })
  return job
}
