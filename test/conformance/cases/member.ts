import { toHex } from '../../../core/codec/bytes.ts'
import { blockOf } from '../../../core/roster/block.ts'
import { type MemberProof, memberProof, type RosterSnapshot, rosterSnapshot } from '../../../core/roster/roster.ts'
import { missing } from '../../support/missing.ts'
import { digestNamed, keyNamed, memberNamed } from '../../support/people.ts'
import type { VectorCase, VectorFile } from '../vector.ts'

const ADDRESSES = ['8.9.10.11:7734', '[2a00:1450:4001:82b::200e]:7734', '10.0.0.1:7734', 'example.org:7734']

function rosterOf(count: number): RosterSnapshot {
  const members = Array.from({ length: count }, (_, place) => {
    const { peer } = keyNamed(`member ${place}`)
    return memberNamed(`member ${place}`, { weight: 1 + place, block: blockOf(ADDRESSES[place % 4], peer) })
  })
  return rosterSnapshot(7n, members)
}

function proofOf(roster: RosterSnapshot, place: number): MemberProof {
  return memberProof(roster, roster.members[place]?.peer ?? missing('a member')) ?? missing('a proof')
}

function inputOf({ epoch, root }: RosterSnapshot, { member, index, path, memberCount }: MemberProof) {
  const place = Array.from({ length: 9 }, (_, at) => at).find((at) => keyNamed(`member ${at}`).peer === member.peer)
  const address = ADDRESSES[(place ?? 0) % 4]
  return { epoch: `${epoch}`, root, ...member, address, index, memberCount, path: path.map(toHex) }
}

function accepted(count: number, place: number): VectorCase {
  const roster = rosterOf(count)
  const proof = proofOf(roster, place)
  const expect = { block: proof.member.block }
  return { name: `member ${place} of ${count}`, accept: true, input: inputOf(roster, proof), expect }
}

function refused(name: string, change: (proof: MemberProof) => Partial<MemberProof>, epoch = 7n): VectorCase {
  const roster = rosterOf(5)
  const proof = proofOf(roster, 2)
  const input = inputOf({ ...roster, epoch }, { ...proof, ...change(proof) })
  return { name, accept: false, input, expect: {} }
}

export function memberVectors(): VectorFile {
  const owner = digestNamed('somebody else')
  return {
    name: 'member',
    describe:
      'Check that the member is in the roster with this root, by its place and siblings; block is the one of the address.',
    cases: [
      ...[1, 2, 5, 8].flatMap((count) => [...new Set([0, count - 1])].map((place) => accepted(count, place))),
      refused('another weight', ({ member }) => ({ member: { ...member, weight: member.weight + 1 } })),
      refused('another role', ({ member }) => ({ member: { ...member, roles: 5 } })),
      refused('another owner', ({ member }) => ({ member: { ...member, owner } })),
      refused('another block', ({ member }) => ({ member: { ...member, block: member.block ^ 1 } })),
      refused('the neighbour’s place', ({ index }) => ({ index: index ^ 1 })),
      refused('a place beyond the roster', () => ({ index: 5 })),
      refused('one member more', ({ memberCount }) => ({ memberCount: memberCount + 1 })),
      refused('no siblings', () => ({ path: [] })),
      refused('a sibling too many', ({ path }) => ({ path: [...path, new Uint8Array(32)] })),
      refused('siblings in another order', ({ path }) => ({ path: path.toReversed() })),
      refused('another epoch', () => ({}), 8n),
    ],
  }
}
