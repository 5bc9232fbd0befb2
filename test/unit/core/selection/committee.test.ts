import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { PeerId } from '../../../../core/ids.ts'
import { type Member, ROLE, rosterSnapshot } from '../../../../core/roster/roster.ts'
import { type DrawAnswer, draw, pick } from '../../../../core/selection/committee.ts'
import { rank, rendezvousKey } from '../../../../core/selection/rendezvous.ts'
import { digestNamed, memberNamed } from '../../../support/people.ts'

const [BEACON, HOLD] = [digestNamed('beacon'), digestNamed('hold')]
const OPEN = { perOwner: 100, perBlock: 100 }

function drawFrom(members: readonly Member[], parts: Partial<Parameters<typeof draw>[0]> = {}): readonly PeerId[] {
  const input = { beacon: BEACON, holdHash: HOLD, replicas: 3, spares: 2, caps: OPEN, eligible: () => true, ...parts }
  return draw({ roster: rosterSnapshot(0n, members), ...input })
}

const TEN = Array.from({ length: 10 }, (_, place) => memberNamed(`w${place}`, { block: place }))

test('a draw is the head of the ranking', () => {
  const ranked = rank(rendezvousKey(BEACON, HOLD), TEN).map(({ peer }) => peer)
  assert.equal(drawFrom(TEN), ranked.slice(0, 5))
})

test('a small swarm gives all that it has', () => {
  assert.is(drawFrom(TEN.slice(0, 2)).length, 2)
  assert.equal(drawFrom([]), [])
})

test('only eligible members are drawn', () => {
  const members = TEN.map((member, place) => ({ ...member, roles: place < 4 ? ROLE.worker : ROLE.edge }))
  const drawn = drawFrom(members, { eligible: ({ roles }) => (roles & ROLE.worker) !== 0 })
  assert.equal(
    [...drawn].sort(),
    members
      .slice(0, 4)
      .map(({ peer }) => peer)
      .sort(),
  )
})

test('one owner of nine machines gets the cap and no more', () => {
  const owner = digestNamed('big owner')
  const members = TEN.map((member, place) => (place < 9 ? { ...member, owner } : member))
  const drawn = drawFrom(members, { caps: { perOwner: 2, perBlock: 100 } })
  assert.is(drawn.length, 3)
  assert.ok(drawn.some((peer) => peer === members[9]?.peer))
})

test('one address block of nine owners gets the cap and no more', () => {
  const members = TEN.map((member, place) => ({ ...member, block: place < 9 ? 7 : 8 }))
  assert.is(drawFrom(members, { caps: { perOwner: 100, perBlock: 1 } }).length, 2)
})

const RANKED = TEN.slice(0, 5).map(({ peer }) => peer)
const answers = (...given: readonly (DrawAnswer | undefined)[]) =>
  new Map(
    RANKED.flatMap((peer, place): [PeerId, DrawAnswer][] => (given[place] === undefined ? [] : [[peer, given[place]]])),
  )

test('the first R that accept work, in rank order', () => {
  assert.equal(pick(RANKED, answers('accept', 'accept', 'accept'), 3), RANKED.slice(0, 3))
  assert.equal(pick(RANKED, answers('busy', 'accept', 'silent', 'accept', 'accept'), 3), [
    RANKED[1],
    RANKED[3],
    RANKED[4],
  ])
})

test('nobody is picked past a peer that has not answered', () => {
  assert.is(pick(RANKED, answers('accept', undefined, 'accept', 'accept', 'accept'), 3), undefined)
})

test('too few that accept give no workers', () => {
  assert.is(pick(RANKED, answers('accept', 'busy', 'busy', 'silent', 'accept'), 3), undefined)
})

test('answers of peers outside the ranking change nothing', () => {
  const given = answers('accept', 'accept', 'accept').set(memberNamed('stranger').peer, 'accept')
  assert.equal(pick(RANKED, given, 3), RANKED.slice(0, 3))
})

test.run()
