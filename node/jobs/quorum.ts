/** Who votes in this epoch, how many may fail, and what they signed last. */
import type { PeerId } from '../../core/ids.ts'
import type { LogState } from '../../core/log/state.ts'
import { ROLE, type RosterSnapshot } from '../../core/roster/roster.ts'
import type { QuorumView } from '../runtime/app.ts'
import type { RegionLog } from '../runtime/ports.ts'
import { recentCertificates } from './history.ts'

export async function quorumView(
  log: Pick<RegionLog, 'read'>,
  state: LogState,
  roster: RosterSnapshot | undefined,
  own: readonly PeerId[],
  limit: number,
): Promise<QuorumView> {
  const { epoch, keys, hash, quorum } = state.validators
  const both = ROLE.worker | ROLE.validator
  const overlapping = (roster?.members ?? []).some(({ roles }) => (roles & both) === both)
  return {
    ...{ epoch, setHash: hash, quorum, overlapping },
    validators: keys.map((id) => ({ id, self: own.includes(id) })),
    // Who works may not judge itself: with overlapping roles no failure at all is covered.
    faulty: overlapping ? 0 : Math.floor((keys.length - 1) / 3),
    recent: await recentCertificates(log, state, limit),
  }
}
