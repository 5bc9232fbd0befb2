import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { isMemberList, type Member, rosterSnapshot } from '../../../../core/roster/roster.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed, memberNamed } from '../../../support/people.ts'

const MEMBERS = ['a', 'b', 'c', 'd'].map((name) => memberNamed(name))

test('members come out in PeerId order and the root does not depend on the order in which they came', () => {
  const snapshot = rosterSnapshot(3n, MEMBERS)
  const peers = snapshot.members.map(({ peer }) => peer)
  assert.equal(peers, [...peers].sort())
  assert.equal(rosterSnapshot(3n, [...MEMBERS].reverse()), snapshot)
})

test('epoch, membership and every field of a member change the root', () => {
  const base: Member = MEMBERS[0] ?? missing()
  const changes: readonly Partial<Member>[] = [
    { weight: 2 },
    { roles: 3 },
    { owner: digestNamed('x') },
    { block: 1 },
    { peer: memberNamed('z').peer },
  ]
  const roots = [
    rosterSnapshot(0n, MEMBERS),
    rosterSnapshot(1n, MEMBERS),
    rosterSnapshot(0n, MEMBERS.slice(1)),
    rosterSnapshot(0n, []),
    ...changes.map((change) => rosterSnapshot(0n, MEMBERS.with(0, { ...base, ...change }))),
  ].map(({ root }) => root)
  assert.is(new Set(roots).size, roots.length)
})

test('a peer twice and fields out of their range are no roster', () => {
  assert.ok(isMemberList([]))
  assert.ok(isMemberList(MEMBERS))
  assert.ok(isMemberList([memberNamed('a', { weight: 64, roles: 7, block: 2 ** 32 - 1 })]))
  assert.not(isMemberList([...MEMBERS, memberNamed('a', { weight: 2 })]))
  const broken: readonly Partial<Member>[] = [
    { weight: 0 },
    { weight: 65 },
    { weight: 1.5 },
    { roles: 0 },
    { roles: 8 },
    { block: -1 },
    { block: 2 ** 32 },
    { weight: Number.NaN },
  ]
  for (const parts of broken) assert.not(isMemberList([memberNamed('a', parts)]))
  assert.throws(() => rosterSnapshot(0n, [memberNamed('a', { weight: 65 })]), /bounds/)
})

test('a snapshot does not change with the list that it was made of', () => {
  const members = [...MEMBERS]
  const snapshot = rosterSnapshot(0n, members)
  members.pop()
  assert.is(snapshot.members.length, 4)
})

test.run()
