/** From a ranking to workers: caps keep one owner or one address block from filling a committee. */
import type { Digest, PeerId } from '../ids.ts'
import type { Member, RosterSnapshot } from '../roster/roster.ts'
import { rank, rendezvousKey } from './rendezvous.ts'

export type Caps = {
  /** Most members of one owner among all that are ranked. */
  readonly perOwner: number
  readonly perBlock: number
}

export type DrawInput = {
  readonly roster: RosterSnapshot
  readonly beacon: Digest
  readonly holdHash: Digest
  readonly replicas: number
  readonly spares: number
  readonly caps: Caps
  /** Depends on the log only, such as the member's roles: what is live acts through `busy` answers. */
  readonly eligible: (member: Member) => boolean
  /** Ranked before all others that are eligible; absent: nobody is. */
  readonly preferred?: (member: Member) => boolean
}

/** How many are ranked for one that is wanted; as much more each time that the caps leave too few. */
const AHEAD = 4

export type DrawAnswer = 'accept' | 'busy' | 'silent'

/**
 * Ranks the peers that may run a job, R and spares, best first. Anyone with the roster draws the same.
 *
 * @returns fewer than R + spares when the roster, eligibility or the caps leave no more
 */
export function draw(input: DrawInput): readonly PeerId[] {
  const { roster, beacon, holdHash, replicas, spares } = input
  const { members, rankTop = rank } = roster
  const key = rendezvousKey(beacon, holdHash)
  const wanted = replicas + spares
  for (let count = AHEAD * wanted; ; count *= AHEAD) {
    const ranked = rankTop(key, members, count)
    const whole = ranked.length === members.length
    const drawn = firstWithinCaps(ranked, wanted, whole, input)
    if (drawn.length === wanted || whole) return drawn
  }
}

/** @param whole  nobody comes after these: only then may others than the preferred be taken */
function firstWithinCaps(
  ranked: readonly Member[],
  wanted: number,
  whole: boolean,
  { caps, eligible, preferred }: DrawInput,
): readonly PeerId[] {
  const owners = new Map<Digest, number>()
  const blocks = new Map<number, number>()
  const drawn: PeerId[] = []
  const first = preferred === undefined ? ranked : ranked.filter(preferred)
  const others = preferred === undefined || !whole ? [] : ranked.filter((member) => !preferred(member))
  for (const member of [...first, ...others]) {
    if (drawn.length === wanted) break
    const { peer, owner, block } = member
    const [ofOwner, inBlock] = [owners.get(owner) ?? 0, blocks.get(block) ?? 0]
    if (!eligible(member) || ofOwner >= caps.perOwner || inBlock >= caps.perBlock) continue
    owners.set(owner, ofOwner + 1)
    blocks.set(block, inBlock + 1)
    drawn.push(peer)
  }
  return drawn
}

/**
 * Picks who works: the first R in rank order that accept.
 *
 * Why an unheard peer blocks: skipping it would let whoever collects the answers choose by losing one; it must count it as `silent`.
 *
 * @returns undefined while a peer that could still be among the first R has not answered, and when fewer than R accept
 */
export function pick(
  ranked: readonly PeerId[],
  answers: ReadonlyMap<PeerId, DrawAnswer>,
  replicas: number,
): readonly PeerId[] | undefined {
  const workers: PeerId[] = []
  for (const peer of ranked) {
    if (workers.length === replicas) break
    const answer = answers.get(peer)
    if (answer === undefined) return undefined
    if (answer === 'accept') workers.push(peer)
  }
  return workers.length === replicas ? workers : undefined
}
