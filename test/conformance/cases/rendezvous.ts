import { toHex } from '../../../core/codec/bytes.ts'
import type { PeerId } from '../../../core/ids.ts'
import { isMemberList, type Member, ROLE, rosterSnapshot } from '../../../core/roster/roster.ts'
import { type Caps, draw } from '../../../core/selection/committee.ts'
import { rank, rendezvousKey, rendezvousScore } from '../../../core/selection/rendezvous.ts'
import { digestNamed, memberNamed } from '../../support/people.ts'
import { scoreText } from '../rendezvous.vectors.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

const OPEN: Caps = { perOwner: 99, perBlock: 99 }
const EIGHT = Array.from({ length: 8 }, (_, place) =>
  memberNamed(`member ${place}`, { weight: 1 + 9 * place, block: place }),
)

type Swarm = {
  readonly name: string
  readonly members: readonly Member[]
  readonly epoch?: bigint
  readonly beacon?: string
  readonly hold?: string
  readonly replicas?: number
  readonly spares?: number
  readonly caps?: Caps
}

const SWARMS: readonly Swarm[] = [
  { name: 'eight members of rising weight', members: EIGHT },
  { name: 'another hold', members: EIGHT, hold: 'hold 2' },
  { name: 'another beacon', members: EIGHT, beacon: 'beacon 2' },
  { name: 'equal weights of one', members: EIGHT.map((member) => ({ ...member, weight: 1 })) },
  {
    name: 'two members of eight may work',
    members: EIGHT.map((member, place) => ({ ...member, roles: place < 2 ? ROLE.worker : ROLE.validator })),
  },
  {
    name: 'one owner of seven',
    members: EIGHT.map((member, place) => (place > 0 ? { ...member, owner: digestNamed('owner') } : member)),
    caps: { perOwner: 2, perBlock: 99 },
  },
  {
    name: 'one block of seven',
    members: EIGHT.map((member, place) => ({ ...member, block: place > 0 ? 5 : 6 })),
    caps: { perOwner: 99, perBlock: 1 },
  },
  { name: 'one member', members: EIGHT.slice(0, 1), replicas: 1 },
  { name: 'nobody', members: [] },
]

function caseOf(
  swarm: Swarm,
  name: string,
  claim: (drawn: readonly PeerId[], ranked: readonly PeerId[]) => readonly PeerId[],
  accept: boolean,
): VectorCase {
  const { members, epoch = 1n, replicas = 3, spares = 2, caps = OPEN } = swarm
  const [beacon, holdHash] = [digestNamed(swarm.beacon ?? 'beacon'), digestNamed(swarm.hold ?? 'hold')]
  const input = { epoch: `${epoch}`, beacon, holdHash, replicas, spares, ...caps, members }
  if (!isMemberList(members))
    return { name, accept: false, input: { ...input, claimed: [] }, expect: { reason: 'not_a_roster' } }
  const roster = rosterSnapshot(epoch, members)
  const drawn = draw({
    roster,
    beacon,
    holdHash,
    replicas,
    spares,
    caps,
    eligible: ({ roles }) => (roles & ROLE.worker) !== 0,
  })
  const key = rendezvousKey(beacon, holdHash)
  const ranked = rank(key, roster.members).map(({ peer }) => peer)
  const scores = roster.members.map(({ peer, weight }) => scoreText(rendezvousScore(key, peer, weight)))
  const expect = accept ? { key: toHex(key), root: roster.root, scores } : { reason: 'wrong_draw' }
  return { name, accept, input: { ...input, claimed: claim(drawn, ranked) }, expect }
}

function refused(): VectorCase[] {
  const [plain, , , , , owner, block] = SWARMS
  const base = plain ?? { name: '', members: [] }
  const broken = (name: string, parts: Partial<Member>): VectorCase => {
    const members = EIGHT.map((member, place) => (place === 0 ? { ...member, ...parts } : member))
    return caseOf({ name, members }, name, () => [], false)
  }
  return [
    caseOf(base, 'the first two swapped', (drawn) => [...drawn.slice(0, 2).reverse(), ...drawn.slice(2)], false),
    caseOf(base, 'a spare taken for the best', (drawn) => [...drawn.slice(1), ...drawn.slice(0, 1)], false),
    caseOf(base, 'one left out', (drawn, ranked) => [...drawn.slice(1), ...ranked.slice(5, 6)], false),
    caseOf(base, 'one too few', (drawn) => drawn.slice(0, -1), false),
    caseOf(base, 'one too many', (_drawn, ranked) => ranked.slice(0, 6), false),
    caseOf({ ...base, hold: 'hold 2' }, "another hold's draw", () => drawOf(base), false),
    caseOf(owner ?? base, 'the owner cap ignored', (_drawn, ranked) => ranked.slice(0, 5), false),
    caseOf(block ?? base, 'the block cap ignored', (_drawn, ranked) => ranked.slice(0, 5), false),
    broken('a weight of zero', { weight: 0 }),
    broken('a weight of 65', { weight: 65 }),
    broken('no role', { roles: 0 }),
    broken('a member twice', { peer: EIGHT[1]?.peer ?? memberNamed('member 1').peer }),
  ]
}

function drawOf({ members }: Swarm): readonly PeerId[] {
  const roster = rosterSnapshot(1n, members)
  return draw({
    roster,
    beacon: digestNamed('beacon'),
    holdHash: digestNamed('hold'),
    replicas: 3,
    spares: 2,
    caps: OPEN,
    eligible: () => true,
  })
}

export function rendezvousVectors(): VectorFile {
  const accepted = SWARMS.map((swarm) => caseOf(swarm, swarm.name, (drawn) => drawn, true))
  return {
    name: 'rendezvous',
    describe:
      'Draw R + spares among the members that have the worker role; accept means that the draw is the claimed list. scores are in PeerId order of all members.',
    cases: [...accepted, ...refused()],
  }
}
