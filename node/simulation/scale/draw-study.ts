/** The real draw over the rosters that validators of a simulated region would certify from what they see. */
import { domainHash } from '#core/hash'
import { u32be } from '../../../core/codec/bytes.ts'
import { digestOf, keyOf, type PeerId } from '../../../core/ids.ts'
import { type Member, ROLE, type RosterSnapshot, rosterSnapshot } from '../../../core/roster/roster.ts'
import { draw } from '../../../core/selection/committee.ts'
import type { DrawStudy } from '../../runtime/simulation-members.ts'
import type { SwimNode, SwimWorld } from './swim-world.ts'

const REPLICAS = 3
const SPARES = 3
const CAPS = { perOwner: 1, perBlock: 2 }
const WEIGHTS = [1, 1, 1, 1, 2, 2, 4, 8] as const
const BEACON = digestOf(domainHash('simulated-beacon'))

/** Two nodes make a roster of what each sees; jobs are drawn from both. */
export function studyDraws(world: SwimWorld, jobs: number): DrawStudy {
  const [first, second] = world.nodes.filter(({ isUp, kind }) => isUp && kind === 'honest')
  if (first === undefined || second === undefined) return { jobs: 0, drawn: 0, gone: 0, differing: 0, rosterPeers: 0 }
  const [mine, theirs] = [rosterOf(first), rosterOf(second)]
  let [drawn, gone, differing] = [0, 0, 0]
  for (let job = 0; job < jobs; job += 1) {
    const peers = drawFor(mine, job)
    drawn += peers.length
    gone += peers.filter((peer) => !world.node(peer).isUp).length
    if (peers.join() !== drawFor(theirs, job).join()) differing += 1
  }
  return { jobs, drawn, gone, differing, rosterPeers: mine.members.length }
}

function rosterOf({ swim }: SwimNode): RosterSnapshot {
  const members: Member[] = []
  for (const { word } of swim.table.entries()) if (swim.table.isThere(word.peer)) members.push(memberOf(word.peer))
  return rosterSnapshot(
    1n,
    members.sort((a, b) => (a.peer < b.peer ? -1 : 1)),
  )
}

/** Each its own owner and block; one in eight weighs eight times as much as half of them. */
function memberOf(peer: PeerId): Member {
  const [place = 0, high = 0, low = 0] = keyOf(peer)
  const weight = WEIGHTS[place % WEIGHTS.length] ?? 1
  const owner = digestOf(domainHash('simulated-owner', keyOf(peer)))
  return { peer, weight, roles: ROLE.worker, owner, block: high * 256 + low }
}

function drawFor(roster: RosterSnapshot, job: number): readonly PeerId[] {
  const holdHash = digestOf(domainHash('simulated-hold', u32be(job)))
  return draw({
    roster,
    beacon: BEACON,
    holdHash,
    replicas: REPLICAS,
    spares: SPARES,
    caps: CAPS,
    eligible: () => true,
  })
}
