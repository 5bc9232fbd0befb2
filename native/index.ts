/** Draws over many peers: the native kernel where it is built, else the reference, under one signature. */
import { keyOf } from '../core/ids.ts'
import type { Member, RankTop, RosterSnapshot } from '../core/roster/roster.ts'
import { type LoadOptions, loadKernel } from './load.ts'
import { type PackedPeers, PEER_KEY_BYTES, type RendezvousTop } from './reference.ts'

/** Up to here packing costs more than a kernel saves. */
const PLAIN_MEMBERS_MAX = 64

/** Makes the draws of a large roster faster and changes nothing else; says through `announce` when the reference has to do. */
export function rankedNatively(roster: RosterSnapshot, options: LoadOptions = {}): RosterSnapshot {
  if (roster.members.length <= PLAIN_MEMBERS_MAX) return roster
  return { ...roster, rankTop: rankTopBy(loadKernel(options).rendezvousTop) }
}

/** Ranks members with a kernel. A list must not change afterwards: what is packed for it is kept as long as the list is. */
export function rankTopBy(rendezvousTop: RendezvousTop): RankTop {
  const packed = new WeakMap<readonly Member[], PackedPeers>()
  return (drawKey, members, count) => {
    const peers = packed.get(members) ?? packPeers(members)
    packed.set(members, peers)
    const { indexes } = rendezvousTop(drawKey, peers, count)
    return Array.from(indexes, (index) => members[index]).filter((member) => member !== undefined)
  }
}

/** Lays members side by side. */
function packPeers(members: readonly Member[]): PackedPeers {
  const keys = new Uint8Array(members.length * PEER_KEY_BYTES)
  for (const [index, { peer }] of members.entries()) keys.set(keyOf(peer), index * PEER_KEY_BYTES)
  return { keys, weights: Uint8Array.from(members, ({ weight }) => weight) }
}
