/** The epoch part of a receipt: the certified roster root and beacon that the draw used, and who of the roster the receipt is about. */
import { concatBytes } from '../codec/bytes.ts'
import type { PeerId } from '../ids.ts'
import { checkEpochProof } from '../log/epoch-proof.ts'
import { type EpochStart, NO_PROOF, recordEpoch } from '../log/epochs.ts'
import { genesisRoster } from '../log/genesis.ts'
import { freshStanding } from '../log/standing.ts'
import type { LogState } from '../log/state.ts'
import { isMemberOf, type Member, memberProof, type RosterSnapshot } from '../roster/roster.ts'
import { accept, reject, type Validation } from '../validation.ts'
import type { Receipt } from './receipt.ts'

type EpochPart = Receipt['epoch']

const HASH_BYTES = 32

/** Epoch 0: the genesis in the receipt says everything. */
export const FIRST_EPOCH: EpochPart = { number: 0n, ...NO_PROOF, memberCount: 0, members: [] }

/**
 * Makes the part for a job of this epoch.
 *
 * @param peers  the edge and the workers, in any order; those that are not in the roster are left out
 */
export function epochPartOf({ epoch, proof }: EpochStart, roster: RosterSnapshot, peers: readonly PeerId[]): EpochPart {
  if (epoch === 0n) return FIRST_EPOCH
  const members = [...new Set(peers)].sort().flatMap((peer) => {
    const shown = memberProof(roster, peer)
    return shown === undefined ? [] : [{ ...shown.member, index: shown.index, path: concatBytes(...shown.path) }]
  })
  return { number: epoch, ...proof, memberCount: roster.members.length, members }
}

/** What a receipt's epoch says once it is checked. */
export type CheckedEpoch = {
  readonly epoch: bigint
  /** Of the whole roster in epoch 0, else those that the receipt shows. */
  readonly members: ReadonlyMap<PeerId, Member>
  /** Whom the draw chose from; undefined when the reader has no file of it. */
  readonly roster: RosterSnapshot | undefined
}

/**
 * Checks the part and puts what follows from it into the state that stands for the log: the epoch, and the owners of its members.
 *
 * @param rosters  by root, what the reader brings along
 */
export function checkEpochPart(
  state: LogState,
  part: EpochPart,
  rosters: ReadonlyMap<string, RosterSnapshot>,
): Validation<CheckedEpoch> {
  const proof = { roster: part.roster, beacon: part.beacon }
  const start = checkEpochProof(state, part.number, proof)
  if (start.action !== 'accept') return start
  const { epoch, rosterRoot } = start.value
  if (epoch === 0n) return checkFirstEpoch(state, part)
  const members = new Map<PeerId, Member>()
  for (const [place, { index, path, ...member }] of part.members.entries()) {
    const before = part.members[place - 1]
    const siblings = Array.from({ length: path.length / HASH_BYTES }, (_, at) =>
      path.subarray(at * HASH_BYTES, (at + 1) * HASH_BYTES),
    )
    const shown = { member, index, path: siblings, memberCount: part.memberCount }
    const ordered = before === undefined || before.peer < member.peer
    if (!ordered || path.length % HASH_BYTES !== 0 || !isMemberOf(rosterRoot, epoch, shown))
      return reject('proposal_mismatch', `epoch.members[${place}]`)
    members.set(member.peer, member)
  }
  recordEpoch(state, { ...start.value, startedMs: 0n, startedIndex: 0n, proof })
  for (const { peer, owner, weight } of members.values())
    state.peers.set(peer, freshStanding({ owner, user: null, joinedEpoch: epoch, base: weight }))
  return accept({ epoch, members, roster: rosters.get(rosterRoot) })
}

function checkFirstEpoch({ genesis }: LogState, part: EpochPart): Validation<CheckedEpoch> {
  if (part.memberCount !== 0 || part.members.length > 0) return reject('bytes_trailing', 'epoch.members')
  const members = new Map(genesis.members.map((member) => [member.peer, member]))
  return accept({ epoch: 0n, members, roster: genesisRoster(genesis) })
}
