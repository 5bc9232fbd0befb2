/** What the log knows of each peer that was let in, and the weight that follows from it: nothing a peer says of itself counts here. */
import { type Digest, digestOf, keyOf, type PeerId, type UserId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import type { LogState } from './state.ts'

export type Standing = {
  /** Peers of one owner count as one witness. */
  readonly owner: Digest
  /** The key that the peer's invite was spent for; null for a member of the genesis. */
  readonly user: UserId | null
  readonly joinedEpoch: bigint
  /** Weight before it has done anything: the genesis's, or JOINED_WEIGHT. */
  readonly base: number
  /** Certified findings about its replicas. */
  readonly passed: number
  readonly failed: number
  /** Replicas that it took and never handed in. */
  readonly lost: number
  /** Beacons that it committed to and did not reveal for. */
  readonly forfeits: number
  /** It signed two digests for one subject. */
  readonly equivocated: boolean
  /** Its weight when the epoch of its last change began. */
  readonly settled: { readonly epoch: bigint; readonly weight: number }
}

export const JOINED_WEIGHT = 8
/** Passed findings that one fault must be weighed against before a peer has any. */
const PRIOR_PASSED = 8
const COUNT_MAX = 0xffff_ffff
/** What a fault costs, in passed findings: an answer that is wrong weighs more than one that never came. */
const FAULT = { failed: 8, lost: 2, forfeits: 8 } as const
const WEIGHT_PER_DOUBLING = 4

/**
 * Draws per job that a standing is worth: more with the logarithm of what passed, less with the share of faults.
 *
 * Why the logarithm: work attracts work, and a peer that was here first must not take all of it.
 *
 * @returns  1 to LIMITS.rendezvousWeightMax; 0 for a peer that equivocated, which is not eligible
 */
export function weightOf({ base, passed, failed, lost, forfeits, equivocated }: Standing): number {
  if (equivocated) return 0
  const doublings = 32 - Math.clz32(passed)
  const earned = Math.min(LIMITS.rendezvousWeightMax, base + WEIGHT_PER_DOUBLING * doublings)
  const faults = FAULT.failed * failed + FAULT.lost * lost + FAULT.forfeits * forfeits
  const known = passed + PRIOR_PASSED
  return Math.max(1, Math.floor((earned * known) / (known + faults)))
}

/**
 * The weight in the roster after this epoch: as it was when the epoch began.
 *
 * Why not the newest: findings come all the time, and validators that are a few entries apart would never agree on a roster.
 */
export function rosterWeightOf(standing: Standing, epoch: bigint): number {
  if (standing.equivocated) return 0
  return standing.settled.epoch === epoch ? standing.settled.weight : weightOf(standing)
}

/** @returns undefined for a peer that neither the genesis nor the log has let in */
export function standingOf(state: LogState, peer: PeerId): Standing | undefined {
  return state.peers.get(peer) ?? genesisStanding(state, peer)
}

export function isAdmitted(state: LogState, peer: PeerId): boolean {
  return standingOf(state, peer) !== undefined
}

/** Who owns a peer: the genesis or its invite says; a peer that nobody let in owns itself. */
export function ownerOf(state: LogState, peer: PeerId): Digest {
  return standingOf(state, peer)?.owner ?? ownerNamed(peer)
}

/** The owner that a user's key stands for. */
export function ownerNamed(user: UserId): Digest {
  return digestOf(keyOf(user))
}

/** A standing that nothing has happened to yet. */
export function freshStanding(parts: Pick<Standing, 'owner' | 'user' | 'joinedEpoch' | 'base'>): Standing {
  const settled = { epoch: parts.joinedEpoch, weight: parts.base }
  return { ...parts, passed: 0, failed: 0, lost: 0, forfeits: 0, equivocated: false, settled }
}

/** Members and validators of the genesis: known before the first entry, so that a receipt can be checked without the log. */
export function genesisStanding({ genesis }: LogState, peer: PeerId): Standing | undefined {
  const member = genesis.members.find((one) => one.peer === peer)
  if (member === undefined && !genesis.validators.includes(peer)) return undefined
  const { owner, weight } = member ?? { owner: ownerNamed(peer), weight: JOINED_WEIGHT }
  return freshStanding({ owner, user: null, joinedEpoch: 0n, base: weight })
}

type Tally = 'passed' | 'failed' | 'lost' | 'forfeits'

/** Counts one more of something; a peer that nobody let in has no standing to change. */
export function count(state: LogState, peer: PeerId, tally: Tally): void {
  change(state, peer, (standing) => ({ [tally]: Math.min(COUNT_MAX, standing[tally] + 1) }))
}

export function markEquivocated(state: LogState, peer: PeerId): void {
  change(state, peer, () => ({ equivocated: true }))
}

function change(state: LogState, peer: PeerId, parts: (standing: Standing) => Partial<Standing>): void {
  const standing = standingOf(state, peer)
  if (standing === undefined) return
  const { epoch } = state
  const settled = standing.settled.epoch === epoch ? standing.settled : { epoch, weight: weightOf(standing) }
  state.peers.set(peer, { ...standing, ...parts(standing), settled })
}
