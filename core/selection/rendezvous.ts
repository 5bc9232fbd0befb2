/**
 * Weighted rendezvous hashing (Thaler and Ravishankar 1998) in integers: who works is a function of roster, beacon and hold alone.
 *
 * Why the maximum over `weight` hashes: it gives a peer of weight w the chance w / sum of weights with no logarithm, whose last
 * bit would differ between machines.
 *
 * @see docs/PROTOCOL.md#roster-and-draw
 */
import { domainHash } from '#core/hash'
import { type Digest, digestBytes, keyOf, type PeerId } from '../ids.ts'
import type { Member } from '../roster/roster.ts'
import { compareHash64, type Hash64, type SipState, sipAbsorb, sipFinish, sipState, word } from './siphash.ts'

const KEY_BYTES = 16
const PEER_KEY_BYTES = 32
/** SipHash pads a message with its length in the top byte of the last block: 32 bytes of key and 4 of counter here. */
const MESSAGE_PAD = (PEER_KEY_BYTES + 4) << 24

/**
 * Gives the key of one job's draw.
 *
 * @param beacon    the epoch's beacon
 * @param holdHash  hash of the log entry that holds the job's money: neither user nor worker knew it when the intent was signed
 * @returns         16 bytes
 */
export function rendezvousKey(beacon: Digest, holdHash: Digest): Uint8Array {
  return domainHash('rendezvous', digestBytes(beacon), digestBytes(holdHash)).subarray(0, KEY_BYTES)
}

/** Gives a peer's score: the largest SipHash-2-4(key, peer key || u32le(k)) over k < weight. */
export function rendezvousScore(key: Uint8Array, peer: PeerId, weight: number): Hash64 {
  return scoreUnder(sipState(key), keyOf(peer), weight)
}

/** The same for one of many peers under one key: the state comes from `sipState` and stays as it is. */
export function scoreUnder(state: SipState, peerKey: Uint8Array, weight: number): Hash64 {
  const shared = state.slice()
  for (let at = 0; at < PEER_KEY_BYTES; at += 8) sipAbsorb(shared, word(peerKey, at), word(peerKey, at + 4))
  const scratch: SipState = new Int32Array(shared.length)
  let best: Hash64 = { hi: 0, lo: 0 }
  for (let k = 0; k < weight; k++) {
    scratch.set(shared)
    const hash = sipFinish(scratch, k, MESSAGE_PAD)
    if (compareHash64(hash, best) > 0) best = hash
  }
  return best
}

/** Orders members by falling score; ties go to the lower PeerId. */
export function rank(key: Uint8Array, members: readonly Member[]): readonly Member[] {
  const state = sipState(key)
  return members
    .map((member) => ({ member, score: scoreUnder(state, keyOf(member.peer), member.weight) }))
    .sort((a, b) => compareHash64(b.score, a.score) || (a.member.peer < b.member.peer ? -1 : 1))
    .map(({ member }) => member)
}
