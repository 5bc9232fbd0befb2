/** Who is in the next roster: what each member is follows from the log and the member's own signed record. */
import type { PeerId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { blockOf } from '../roster/block.ts'
import type { PeerRecord } from '../roster/record.ts'
import { type Member, ROLE, type RosterSnapshot } from '../roster/roster.ts'
import { epochStart } from './epochs.ts'
import { isRosterBarred, rosterWeightOf, standingOf } from './standing.ts'
import type { LogState } from './state.ts'

/** A peer as one node sees it; what a node sees is never part of a roster, it only decides who is proposed. */
export type Sight = {
  readonly peer: PeerId
  readonly state: 'alive' | 'suspect' | 'dead' | 'left'
  readonly record: PeerRecord
  /** The record as it was signed; its signature has been checked. */
  readonly envelope: Uint8Array
  /** When it came into this state, by the clock of the node that sees it. */
  readonly sinceMs: number
}

/** Members come and go at most this often: each epoch costs two entries and a round of votes. */
export const EPOCH_MS_MIN = 5_000

/**
 * What a peer would be in the roster of the next epoch.
 *
 * @param record  its own word: roles that it offers and where it is
 * @returns       undefined when nobody let it in, it equivocated, or it offers nothing
 */
export function memberOf(state: LogState, peer: PeerId, record: PeerRecord): Member | undefined {
  const standing = standingOf(state, peer)
  if (standing === undefined) return undefined
  const weight = rosterWeightOf(standing, state.epoch)
  const validator = state.validators.keys.includes(peer) ? ROLE.validator : 0
  const roles = (record.roles & (ROLE.worker | ROLE.edge)) | validator
  if (weight === 0 || roles === 0) return undefined
  const barred = isRosterBarred(standing, state.epoch) ? ROLE.barred : 0
  return { peer, weight, roles: roles | barred, owner: standing.owner, block: blockOf(record.addresses[0], peer) }
}

/** The members that a node would propose: everybody admitted whom it does not know to be gone; of too many, the best trusted. */
export function membersSeen(state: LogState, sights: Iterable<Sight>): readonly Member[] {
  const members: Member[] = []
  for (const { peer, state: seen, record } of sights) {
    const member = seen === 'alive' || seen === 'suspect' ? memberOf(state, peer, record) : undefined
    if (member !== undefined) members.push(member)
  }
  members.sort((a, b) => b.weight - a.weight || (a.peer < b.peer ? -1 : 1))
  return members.slice(0, LIMITS.memberCountMax).sort((a, b) => (a.peer < b.peer ? -1 : 1))
}

/**
 * Says whether the next epoch should begin: somebody came, went or changed, or the beacon has been used for long enough.
 *
 * Why weights do not count: they change with every finding, and wait for the epoch's time.
 *
 * @param members  what the next roster would list
 */
export function isEpochDue(
  state: LogState,
  current: Pick<RosterSnapshot, 'members'>,
  members: readonly Member[],
  nowMs: number,
): boolean {
  const { epochMs } = state.genesis.policy
  if (epochMs === 0 || members.length === 0 || state.nextRoster !== null) return false
  const start = epochStart(state, state.epoch)
  const elapsedMs = nowMs - Number(start?.startedMs ?? 0n)
  if (elapsedMs < minEpochMs(epochMs)) return false
  // A log in which nothing happens need not grow by epochs that no draw uses.
  const used = state.head.index > (start?.startedIndex ?? 0n)
  return (elapsedMs >= epochMs && used) || keysOf(members) !== keysOf(current.members)
}

export function minEpochMs(epochMs: number): number {
  return Math.min(epochMs, EPOCH_MS_MIN)
}

/** @param members  in PeerId order */
function keysOf(members: readonly Member[]): string {
  return members.map(({ peer, roles, owner, block }) => `${peer}/${roles}/${owner}/${block}`).join()
}
