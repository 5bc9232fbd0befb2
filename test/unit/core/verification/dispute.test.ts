import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { PeerId } from '../../../../core/ids.ts'
import { type Member, ROLE, rosterSnapshot } from '../../../../core/roster/roster.ts'
import {
  DISPUTE_CLAIMS,
  disputeVerdict,
  type RefereeVote,
  refereesFor,
  votesNeeded,
} from '../../../../core/verification/dispute.ts'
import { digestNamed, keyNamed, memberNamed } from '../../../support/people.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

type Word = Pick<RefereeVote, 'verdict' | 'meanMicro'>
const FAIL: Word = { verdict: 'fail', meanMicro: 900_000 }
const PASS: Word = { verdict: 'pass', meanMicro: 2_000 }
const ABSTAIN: Word = { verdict: 'abstain', meanMicro: 0 }
const SUSPECT: Word = { verdict: 'suspect', meanMicro: 60_000 }

function bench(count: number): readonly PeerId[] {
  return Array.from({ length: count }, (_, place) => keyNamed(`referee ${place}`).peer)
}

function outcome(words: readonly (Word | undefined)[], claim: 'reject' | 'accept' = 'reject') {
  const drawn = bench(words.length)
  const votes = new Map(
    drawn.flatMap((peer, place) => {
      const word = words[place]
      return word === undefined ? [] : [[peer, word] as const]
    }),
  )
  return disputeVerdict(claim, drawn, votes)
}

test('5 of 7, 4 of 6 and of 5, 3 of 4 and of 3 decide', () => {
  assert.equal([3, 4, 5, 6, 7].map(votesNeeded), [3, 3, 4, 4, 5])
  for (const count of [3, 4, 5, 6, 7]) {
    const needed = votesNeeded(count)
    const words = (failing: number) => Array.from({ length: count }, (_, place) => (place < failing ? FAIL : SUSPECT))
    assert.equal(outcome(words(needed)), { outcome: 'upheld', why: 'decided' })
    assert.equal(outcome(words(needed - 1)), { outcome: 'inconclusive', why: 'no_quorum' })
  }
})

test('what a failing output means depends on what was claimed', () => {
  const failing = [FAIL, FAIL, FAIL]
  const passing = [PASS, PASS, PASS]
  assert.is(outcome(failing, 'reject').outcome, 'upheld')
  assert.is(outcome(failing, 'accept').outcome, 'rejected')
  assert.is(outcome(passing, 'reject').outcome, 'rejected')
  assert.is(outcome(passing, 'accept').outcome, 'upheld')
})

test('silence counts against a decision, a signed abstention does not', () => {
  const silent = [FAIL, FAIL, FAIL, FAIL, undefined, undefined, undefined]
  assert.equal(outcome(silent), { outcome: 'inconclusive', why: 'no_quorum' })
  assert.equal(outcome([FAIL, FAIL, FAIL, FAIL, ABSTAIN, ABSTAIN, ABSTAIN]), { outcome: 'upheld', why: 'decided' })
  assert.equal(outcome([FAIL, FAIL, ABSTAIN]), { outcome: 'inconclusive', why: 'too_few' })
})

test('a majority whose figures lie far apart did not compute one thing', () => {
  const far = { verdict: 'fail', meanMicro: 2_500_000 } as const
  assert.equal(outcome([FAIL, FAIL, far]), { outcome: 'inconclusive', why: 'spread' })
  assert.equal(outcome([FAIL, FAIL, FAIL, far]), { outcome: 'upheld', why: 'decided' })
})

test('votes of peers that were not drawn count nothing', () => {
  const drawn = bench(3)
  const stranger = keyNamed('stranger').peer
  const votes = new Map([
    [drawn[0] as PeerId, FAIL],
    [drawn[1] as PeerId, FAIL],
    [stranger, FAIL],
  ])
  assert.is(disputeVerdict('reject', drawn, votes).outcome, 'inconclusive')
})

test('no coalition wins by abstaining what it would not win by voting', () => {
  for (let count = 3; count <= 7; count += 1) {
    for (let liars = 0; liars <= count; liars += 1) {
      const wins = (abstaining: number) =>
        outcome(
          Array.from({ length: count }, (_, place) => (place >= liars ? PASS : place < abstaining ? ABSTAIN : FAIL)),
        ).outcome === 'upheld'
      for (let abstaining = 1; abstaining <= liars; abstaining += 1)
        if (wins(abstaining)) assert.ok(wins(0), `${liars} of ${count}, ${abstaining} abstain`)
    }
  }
})

test('whatever the votes, the two claims are answered by opposite outcomes', () => {
  const random = seededRandom(testSeed())
  const words = [FAIL, PASS, ABSTAIN, SUSPECT, undefined]
  for (let round = 0; round < 500; round += 1) {
    const given = Array.from({ length: 3 + random.below(5) }, () => words[random.below(words.length)])
    const [rejecting, accepting] = DISPUTE_CLAIMS.map((claim) => outcome(given, claim))
    const opposite = { upheld: 'rejected', rejected: 'upheld', inconclusive: 'inconclusive' } as const
    assert.is(accepting?.outcome, opposite[rejecting?.outcome ?? 'inconclusive'])
    assert.is(accepting?.why, rejecting?.why)
  }
})

const NO_CAPS = { perOwner: 1, perBlock: 2_048 }

function drawnFrom(
  members: readonly Member[],
  parties: readonly PeerId[],
  name = 'dispute',
  owners = [digestNamed('nobody')],
) {
  const roster = rosterSnapshot(0n, members)
  const common = { beacon: digestNamed('beacon'), caps: NO_CAPS, parties, owners }
  return refereesFor({ roster, disputeHash: digestNamed(name), ...common })
}

test('referees are neither parties nor of their owners, one for each owner, and at most 7', () => {
  const random = seededRandom(testSeed())
  for (let round = 0; round < 100; round += 1) {
    const count = 6 + random.below(20)
    const members = Array.from({ length: count }, (_, place) =>
      memberNamed(`m${round}/${place}`, { roles: 1 + random.below(7), owner: digestNamed(`o${random.below(12)}`) }),
    )
    const parties = members.slice(0, 3).map(({ peer }) => peer)
    const drawn = drawnFrom(members, parties, `d${round}`, [members[4]?.owner ?? digestNamed('none')])
    const owners = drawn.map((peer) => members.find((member) => member.peer === peer)?.owner)
    const barred = new Set([0, 1, 2, 4].map((place) => members[place]?.owner))
    assert.is(new Set(owners).size, owners.length)
    assert.ok(drawn.length === 0 || (drawn.length >= 3 && drawn.length <= 7))
    for (const owner of owners) assert.not(barred.has(owner))
    for (const peer of drawn) assert.not(members.find((member) => member.peer === peer)?.roles === ROLE.edge)
  }
})

test('validators are drawn only where there are no others', () => {
  const workers = Array.from({ length: 5 }, (_, place) => memberNamed(`w${place}`))
  const validators = Array.from({ length: 6 }, (_, place) => memberNamed(`v${place}`, { roles: ROLE.validator }))
  const drawn = drawnFrom([...workers, ...validators], [])
  assert.is(drawn.length, 7)
  assert.equal(new Set(drawn.slice(0, 5)), new Set(workers.map(({ peer }) => peer)))
})

test('fewer than three independent peers are no bench, and another dispute is another draw', () => {
  const few = Array.from({ length: 3 }, (_, place) => memberNamed(`w${place}`))
  assert.equal(drawnFrom(few, [few[0]?.peer as PeerId]), [])
  const many = Array.from({ length: 40 }, (_, place) => memberNamed(`w${place}`))
  assert.is.not(drawnFrom(many, [], 'one').join(), drawnFrom(many, [], 'other').join())
})

test.run()
