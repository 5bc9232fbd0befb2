import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KeyPair } from '../../../../core/identity/keys.ts'
import type { Digest } from '../../../../core/ids.ts'
import { checkCertificate, compactOf } from '../../../../core/quorum/certificate.ts'
import { addVote, createTally, result, type Tallied, type Tally } from '../../../../core/quorum/tally.ts'
import { type ValidatorSet, validatorSet } from '../../../../core/quorum/validators.ts'
import { castVote, type Topic } from '../../../../core/quorum/vote.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed, keyNamed, swarmNamed, validatorKeys, validatorsOf } from '../../../support/people.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const SWARM = swarmNamed('swarm')
const KEYS = validatorKeys(7)
const FOUR = KEYS.slice(0, 4)
const SET = validatorsOf(FOUR)
const [YES, NO] = [digestNamed('yes'), digestNamed('no')]

function topicOf(set: ValidatorSet): Topic {
  return { kind: 'assignment', epoch: set.epoch, setHash: set.hash, subject: digestNamed('job'), attempt: 0, index: 0 }
}

function vote(tally: Tally, key: KeyPair | undefined, digest: Digest): Tallied {
  return addVote(tally, castVote(SWARM, { ...tally.topic, digest }, key ?? keyNamed('nobody')))
}

function countAll(tally: Tally, votes: readonly (readonly [number, Digest])[]): Tally {
  return votes.reduce((counted, [place, digest]) => vote(counted, KEYS[place], digest).tally, tally)
}

test('3 of 4 yes wins, 2 of 4 no loses', () => {
  const two = countAll(createTally(SET, topicOf(SET)), [
    [3, YES],
    [1, YES],
  ])
  assert.is(result(two), undefined)
  const mixed = countAll(two, [[2, NO]])
  assert.is(result(mixed), undefined)
  const won = result(countAll(mixed, [[0, YES]]))
  assert.is(won?.certificate.statement.digest, YES)
  assert.is(won?.certificate.bitmap, 0b1011)
})

test('two digests of two votes each are no quorum', () => {
  assert.is(
    result(
      countAll(createTally(SET, topicOf(SET)), [
        [0, YES],
        [1, YES],
        [2, NO],
        [3, NO],
      ]),
    ),
    undefined,
  )
})

test('the certificate of a tally is accepted by whoever knows the set', () => {
  const won = result(
    countAll(createTally(SET, topicOf(SET)), [
      [0, YES],
      [2, YES],
      [3, YES],
    ]),
  )
  assert.ok(won)
  const { certificate } = won ?? missing()
  assert.is(checkCertificate(SWARM, SET, { ...topicOf(SET), digest: YES }, compactOf(certificate)).action, 'accept')
})

test('a voter that repeats itself counts once and is not blamed', () => {
  const once = vote(createTally(SET, topicOf(SET)), KEYS[0], YES)
  const again = vote(once.tally, KEYS[0], YES)
  assert.equal(again.validation, { action: 'ignore', reason: 'already_seen' })
  assert.is(again.tally.votes.size, 1)
  assert.is(
    result(
      countAll(again.tally, [
        [0, YES],
        [1, YES],
      ]),
    ),
    undefined,
  )
})

test('a second, different vote counts for nothing and is evidence', () => {
  const once = vote(createTally(SET, topicOf(SET)), KEYS[0], YES)
  const twice = vote(once.tally, KEYS[0], NO)
  assert.equal(twice.validation, { action: 'reject', reason: 'vote_equivocation' })
  assert.is(twice.evidence?.first.voter, KEYS[0]?.peer)
  assert.is(twice.tally.votes.get(FOUR[0]?.peer ?? missing())?.statement.digest, YES)
  assert.is(
    result(
      countAll(twice.tally, [
        [1, NO],
        [2, NO],
      ]),
    ),
    undefined,
  )
})

test('a vote on another job, attempt, kind or replica is not counted', () => {
  const tally = createTally(SET, topicOf(SET))
  const elsewhere: readonly Partial<Topic>[] = [
    { subject: digestNamed('job 2') },
    { attempt: 1 },
    { kind: 'finding' },
    { index: 1 },
    { epoch: 1n },
  ]
  for (const parts of elsewhere) {
    const { validation } = addVote(
      tally,
      castVote(SWARM, { ...topicOf(SET), ...parts, digest: YES }, FOUR[0] ?? missing()),
    )
    assert.equal(validation, { action: 'reject', reason: 'vote_subject_mismatch' })
  }
})

test('a validator of another set is not counted', () => {
  assert.equal(vote(createTally(SET, topicOf(SET)), KEYS[5], YES).validation, {
    action: 'reject',
    reason: 'voter_not_in_set',
  })
})

test("a replica's owner is not counted on its own replica", () => {
  const owner = FOUR[1]?.peer ?? missing()
  const tally = createTally(SET, topicOf(SET), [owner])
  const counted = countAll(tally, [
    [0, YES],
    [2, YES],
  ])
  const own = vote(counted, FOUR[1], YES)
  assert.equal(own.validation, { action: 'reject', reason: 'voter_excluded' })
  assert.is(result(own.tally), undefined)
  assert.ok(result(countAll(own.tally, [[3, YES]])))
})

test('a tally is a value: an earlier one does not see a later vote', () => {
  const empty = createTally(SET, topicOf(SET))
  countAll(empty, [
    [0, YES],
    [1, YES],
    [2, YES],
  ])
  assert.is(result(empty), undefined)
})

test('one validator alone is its own quorum', () => {
  const set = validatorsOf(KEYS.slice(0, 1))
  assert.ok(result(countAll(createTally(set, topicOf(set)), [[0, YES]])))
})

test('with f liars who sign both, honest voters never certify two digests, whoever hears whom first', () => {
  const random = seededRandom(testSeed())
  const set = validatorsOf(KEYS)
  const votes = new Map(
    KEYS.flatMap((key) =>
      [YES, NO].map((digest) => [key.peer + digest, castVote(SWARM, { ...topicOf(set), digest }, key)] as const),
    ),
  )
  let certified = 0
  for (let run = 0; run < 200; run++) {
    const honest = KEYS.slice(2).map((key) => ({ key, digest: random.below(2) === 0 ? YES : NO }))
    const said = [
      ...honest,
      ...KEYS.slice(0, 2).flatMap((key) => [
        { key, digest: YES },
        { key, digest: NO },
      ]),
    ]
    const won = [0, 1].map(() => {
      const heard = [...said].sort(() => random.below(3) - 1)
      const tally = heard.reduce(
        (counted, { key, digest }) => addVote(counted, votes.get(key.peer + digest) ?? missing()).tally,
        createTally(set, topicOf(set)),
      )
      return result(tally)?.certificate.statement.digest
    })
    const digests = new Set(won.filter((digest) => digest !== undefined))
    certified += digests.size
    assert.ok(digests.size <= 1, `run ${run}`)
  }
  assert.ok(certified > 0, 'some runs reach a quorum')
})

test('with a quorum below a majority, the same votes still give everybody the same digest', () => {
  const weak = validatorSet(
    0n,
    FOUR.map((key) => key.peer),
    2,
  )
  const one = result(
    countAll(createTally(weak, topicOf(weak)), [
      [0, YES],
      [1, YES],
      [2, NO],
      [3, NO],
    ]),
  )
  const other = result(
    countAll(createTally(weak, topicOf(weak)), [
      [3, NO],
      [2, NO],
      [1, YES],
      [0, YES],
    ]),
  )
  assert.is(one?.certificate.statement.digest, other?.certificate.statement.digest)
})

test.run()
