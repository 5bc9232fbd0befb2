/** The roster that a job was drawn from: that of the epoch in which its money was held, whatever the epoch is now. */
import { FabricError } from '../../core/errors.ts'
import type { JobId } from '../../core/ids.ts'
import { epochOfJob } from '../../core/log/epochs.ts'
import type { LogState } from '../../core/log/state.ts'
import type { RosterSnapshot } from '../../core/roster/roster.ts'
import type { Rosters } from '../runtime/mesh.ts'

/**
 * @param id  a job that the log does not have yet is given the current roster
 * @throws    CF_ROSTER_UNKNOWN when neither this node nor anybody it asks has it
 */
export async function rosterOfJob(
  rosters: Rosters,
  state: LogState,
  id: JobId,
  signal: AbortSignal,
): Promise<RosterSnapshot> {
  const job = state.jobs.get(id)
  const root = job === undefined ? state.rosterRoot : epochOfJob(state, job).rosterRoot
  const roster = rosters.of(root) ?? (await rosters.fetch(root, signal))
  if (roster === undefined) throw new FabricError('CF_ROSTER_UNKNOWN', { root })
  return roster
}

/** The only roster of a swarm whose epoch never ends. */
export function staticRosters(roster: RosterSnapshot): Rosters {
  const of: Rosters['of'] = (root) => (root === roster.root ? roster : undefined)
  return { of, fetch: async (root) => of(root), put: async () => undefined }
}
