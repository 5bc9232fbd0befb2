/**
 * The certified roster of an epoch: what a draw depends on. Everything in it follows from the log; nothing in it is live.
 *
 * @see docs/PROTOCOL.md#roster-and-draw
 */
import { domainHash } from '#core/hash'
import { u32be, u64be } from '../codec/bytes.ts'
import { type Digest, digestBytes, digestOf, keyOf, type PeerId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { LIMITS } from '../limits.ts'

/** Bits of `roles`. */
export const ROLE = { worker: 1, validator: 2, edge: 4 } as const
const ROLES_ALL = ROLE.worker | ROLE.validator | ROLE.edge

export type Member = {
  readonly peer: PeerId
  /** Draws per job, 1 to 64: log-derived trust and witnessed speed. */
  readonly weight: number
  readonly roles: number
  /** Who owns the machine: peers of one owner count as one witness. */
  readonly owner: Digest
  /** Address block, a u32 such as the /24 of an IPv4 address; members of one block count against one cap, 0 included. */
  readonly block: number
}

export type RosterSnapshot = {
  readonly epoch: bigint
  /** In PeerId order. */
  readonly members: readonly Member[]
  readonly root: Digest
  /** A faster way to rank these members, such as a native kernel; absent: `rank` does. Both give the same. */
  readonly rankTop?: RankTop
}

/** Gives the first `count` members of a draw's ranking, or more. */
export type RankTop = (drawKey: Uint8Array, members: readonly Member[], count: number) => readonly Member[]

/** Says whether a list may be a roster: bounds hold and nobody is in it twice. Ask this of outside data before `rosterSnapshot`. */
export function isMemberList(members: readonly Member[]): boolean {
  const peers = new Set(members.map((member) => member.peer))
  return members.length <= LIMITS.memberCountMax && peers.size === members.length && members.every(isMember)
}

function isMember({ weight, roles, block }: Member): boolean {
  return inRange(weight, 1, LIMITS.rendezvousWeightMax) && inRange(roles, 1, ROLES_ALL) && inRange(block, 0, 0xffffffff)
}

function inRange(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max
}

/**
 * Fixes the members of an epoch and their root. The order in which they are given does not matter.
 *
 * @param members  a list that `isMemberList` accepts
 */
export function rosterSnapshot(epoch: bigint, members: readonly Member[]): RosterSnapshot {
  invariant(isMemberList(members), 'a roster is within bounds and lists nobody twice')
  const sorted = [...members].sort((a, b) => (a.peer < b.peer ? -1 : 1))
  const root = digestOf(domainHash('roster', u64be(epoch), u32be(sorted.length), ...sorted.flatMap(memberParts)))
  return { epoch, members: sorted, root }
}

/** 70 bytes: key 32, weight 1, roles 1, owner 32, block 4. */
function memberParts({ peer, weight, roles, owner, block }: Member): Uint8Array[] {
  return [keyOf(peer), Uint8Array.of(weight, roles), digestBytes(owner), u32be(block)]
}
