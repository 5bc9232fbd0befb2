/**
 * The certified roster of an epoch: what a draw depends on. Everything in it follows from the log; nothing in it is live.
 *
 * @see docs/PROTOCOL.md#roster-and-draw
 */
import { domainHash } from '#core/hash'
import { concatBytes, u32be, u64be } from '../codec/bytes.ts'
import { defineBody, digest, list, peer, record, u8, u32, u64 } from '../codec/schema.ts'
import { type Digest, digestBytes, digestOf, keyOf, type PeerId } from '../ids.ts'
import { invariant } from '../invariant.ts'
import { LIMITS } from '../limits.ts'
import { accept, reject, type Validation } from '../validation.ts'
import { merklePath, merkleRoot, topFromPath } from './merkle.ts'

/** Bits of `roles`. `barred` takes one away: whose reports others contradicted too often audits nothing. */
export const ROLE = { worker: 1, validator: 2, edge: 4, barred: 8 } as const
const ROLES_ALL = ROLE.worker | ROLE.validator | ROLE.edge | ROLE.barred

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
  /** Over epoch, number of members and a Merkle tree of them. */
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
  const isSomething = inRange(roles, 1, ROLES_ALL) && roles !== ROLE.barred
  return inRange(weight, 1, LIMITS.rendezvousWeightMax) && isSomething && inRange(block, 0, 0xffffffff)
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
  return { epoch, members: sorted, root: rootOf(epoch, sorted.length, merkleRoot(sorted.map(leafOf))) }
}

function rootOf(epoch: bigint, memberCount: number, top: Uint8Array): Digest {
  return digestOf(domainHash('roster', u64be(epoch), u32be(memberCount), top))
}

/** 70 bytes: key 32, weight 1, roles 1, owner 32, block 4. */
function leafOf({ peer, weight, roles, owner, block }: Member): Uint8Array {
  return concatBytes(keyOf(peer), Uint8Array.of(weight, roles), digestBytes(owner), u32be(block))
}

/** Shows that a member is in a roster to somebody who has only the root. */
export type MemberProof = {
  readonly member: Member
  readonly index: number
  /** Siblings, lowest first. */
  readonly path: readonly Uint8Array[]
  /** The top of the tree that the path must lead to is bound to the root by these. */
  readonly memberCount: number
}

/** @returns undefined when the peer is not in the roster */
export function memberProof({ members }: RosterSnapshot, peer: PeerId): MemberProof | undefined {
  const index = members.findIndex((member) => member.peer === peer)
  const member = members[index]
  if (member === undefined) return undefined
  return { member, index, path: merklePath(members.map(leafOf), index), memberCount: members.length }
}

export function isMemberOf(root: Digest, epoch: bigint, { member, index, path, memberCount }: MemberProof): boolean {
  if (!isMember(member)) return false
  const top = topFromPath(leafOf(member), { index, count: memberCount, path })
  return top !== undefined && rootOf(epoch, memberCount, top) === root
}

/** How a roster travels and is kept: its root says whether it is the one that was asked for. */
export const rosterCodec = defineBody(
  'roster',
  {
    epoch: u64(),
    members: list(
      record({ peer: peer(), weight: u8(), roles: u8(), owner: digest(), block: u32() }),
      LIMITS.memberCountMax,
    ),
  },
  LIMITS.rosterBytesMax,
)

export function encodeRoster({ epoch, members }: RosterSnapshot): Uint8Array {
  return rosterCodec.encode({ epoch, members })
}

/** Reads a roster that somebody else made; whether it is the certified one, its root tells. */
export function decodeRoster(bytes: Uint8Array): Validation<RosterSnapshot> {
  const decoded = rosterCodec.decode(bytes)
  if (decoded.action !== 'accept') return decoded
  const { epoch, members } = decoded.value
  return isMemberList(members) ? accept(rosterSnapshot(epoch, members)) : reject('body_malformed', 'roster.members')
}
