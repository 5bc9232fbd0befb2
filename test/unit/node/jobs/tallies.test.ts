import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Digest } from '../../../../core/ids.ts'
import { votesCodec } from '../../../../core/job/proposal.ts'
import { checkCertificate } from '../../../../core/quorum/certificate.ts'
import { checkEvidence, type Evidence, encodeEvidence } from '../../../../core/quorum/evidence.ts'
import { castVote, encodeVote, type Topic, type Vote } from '../../../../core/quorum/vote.ts'
import { collectVotes, type TallyRequest } from '../../../../node/jobs/tallies.ts'
import { createMemoryNetwork } from '../../../../node/mesh/memory.ts'
import { systemClock } from '../../../../node/runtime/system.ts'
import { digestNamed, keyNamed, swarmNamed, validatorKeys, validatorsOf } from '../../../support/people.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'
import { within } from '../../../support/within.ts'

const seed = testSeed()
const KEYS = validatorKeys(4)
const SET = validatorsOf(KEYS)
const SWARM = swarmNamed('swarm')
const TOPIC: Topic = {
  kind: 'assignment',
  epoch: 0n,
  setHash: SET.hash,
  subject: digestNamed('job'),
  attempt: 0,
  index: 0,
}
const [YES, NO] = [digestNamed('yes'), digestNamed('no')]

type Answer = () => Promise<readonly Vote[]> | readonly Vote[]
const says =
  (place: number, ...digests: readonly Digest[]): Answer =>
  () =>
    digests.map((digest) => vote(place, digest))
const silent: Answer = () => new Promise(() => {})
const throws: Answer = () => Promise.reject(new TypeError('a validator with a bug'))

function vote(place: number, digest: Digest, topic: Topic = TOPIC): Vote {
  return castVote(SWARM, { ...topic, digest }, KEYS[place] ?? keyNamed('nobody'))
}

/** Asks validators that answer as told. */
async function collect(answers: readonly Answer[], parts: Partial<TallyRequest> = {}) {
  const network = createMemoryNetwork({}, { clock: systemClock, random: seededRandom(seed), onBug: () => {} })
  const evidence: Evidence[] = []
  for (const [place, { peer }] of KEYS.entries()) {
    const answer = answers[place]
    if (answer === undefined) continue
    network.endpoint(peer).onMessage('vote', async () => {
      return votesCodec.encode({ votes: (await answer()).map(encodeVote) })
    })
  }
  const transport = network.endpoint(keyNamed('edge').peer)
  const request = {
    swarmId: SWARM,
    set: SET,
    type: 'vote',
    body: new Uint8Array(),
    deadlineMs: 200,
    signal: new AbortController().signal,
  }
  const topics = [{ topic: TOPIC, excluded: [] }]
  const won = await collectVotes(transport, {
    ...request,
    topics,
    onEvidence: (found) => void evidence.push(found),
    ...parts,
  })
  return { won, evidence }
}

test(
  '3 of 4 yes wins without waiting for the fourth, and the certificate checks',
  within(2_000, async () => {
    const startMs = Date.now()
    const { won } = await collect([says(0, YES), silent, says(2, YES), says(3, YES)], { deadlineMs: 60_000 })
    assert.ok(Date.now() - startMs < 1_000)
    const [only] = won ?? []
    assert.is(only?.digest, YES)
    assert.is(only?.certificate.bitmap, 0b1101)
    assert.is(only && checkCertificate(SWARM, SET, { ...TOPIC, digest: YES }, only.certificate).action, 'accept')
  }),
)

test(
  '2 of 4 yes loses, whether the others say no, nothing, nonsense, or are not there',
  within(4_000, async () => {
    for (const [third, fourth] of [
      [says(2, NO), says(3, NO)],
      [silent, says(3, NO)],
      [throws, () => []],
      [undefined, says(3, NO)],
    ]) {
      const answers = [says(0, YES), says(1, YES), third ?? throws, fourth ?? throws]
      assert.is((await collect(answers)).won, undefined)
    }
  }),
)

test(
  'forged votes, votes of strangers, on other subjects and under other sets do not count',
  within(2_000, async () => {
    const stranger = castVote(SWARM, { ...TOPIC, digest: YES }, keyNamed('stranger'))
    const forged = { ...vote(2, YES), voter: KEYS[3]?.peer ?? stranger.voter }
    const foreign = castVote(swarmNamed('other'), { ...TOPIC, digest: YES }, KEYS[2] ?? keyNamed('v2'))
    const elsewhere = [
      vote(2, YES, { ...TOPIC, subject: digestNamed('other') }),
      vote(2, YES, { ...TOPIC, attempt: 1 }),
      vote(2, YES, { ...TOPIC, setHash: digestNamed('set') }),
    ]
    const { won } = await collect([
      says(0, YES),
      says(1, YES),
      () => [stranger, forged, foreign, ...elsewhere.slice(0, 2)],
      () => elsewhere,
    ])
    assert.is(won, undefined)
  }),
)

test(
  'one validator that repeats its vote, or sends it for another, is one vote',
  within(2_000, async () => {
    const { won, evidence } = await collect([
      says(0, YES),
      says(1, YES),
      () => [vote(0, YES), vote(1, YES), vote(0, YES)],
      silent,
    ])
    assert.is(won, undefined)
    assert.equal(evidence, [])
  }),
)

test(
  'who may not vote on a topic does not count on it',
  within(2_000, async () => {
    const excluded = [KEYS[0]?.peer ?? keyNamed('v0').peer]
    const topics = [{ topic: TOPIC, excluded }]
    const all = KEYS.map((_, place) => says(place, YES))
    const { won } = await collect(all, { topics })
    assert.is(won?.[0]?.certificate.bitmap, 0b1110)
    assert.is(
      (await collect([...all.slice(0, 3), says(3, NO)], { topics })).won,
      undefined,
      'three may vote, and one disagrees',
    )
  }),
)

test(
  'two votes of one validator on one subject are evidence that anyone can check, and count once',
  within(2_000, async () => {
    const { won, evidence } = await collect([says(0, NO, YES), says(1, YES), says(2, YES), says(3, NO)])
    assert.is(won, undefined)
    assert.is(evidence.length, 1)
    const [proof] = evidence
    assert.is(proof?.first.voter, KEYS[0]?.peer)
    assert.is(proof && checkEvidence(SWARM, SET, encodeEvidence(proof)).action, 'accept')
  }),
)

test(
  'several topics win together or not at all',
  within(2_000, async () => {
    const other: Topic = { ...TOPIC, index: 1 }
    const topics = [
      { topic: TOPIC, excluded: [] },
      { topic: other, excluded: [] },
    ]
    const both =
      (place: number): Answer =>
      () => [vote(place, YES), vote(place, NO, other)]
    const { won } = await collect([both(0), both(1), both(2), silent], { topics })
    assert.equal(
      won?.map(({ digest }) => digest),
      [YES, NO],
    )
    const half = await collect([both(0), both(1), says(2, YES), says(3, YES)], { topics })
    assert.is(half.won, undefined)
  }),
)

test(
  'an abort ends the collection at once',
  within(2_000, async () => {
    const stop = new AbortController()
    const collecting = collect([says(0, YES), silent, silent, silent], { signal: stop.signal, deadlineMs: 60_000 })
    setTimeout(() => stop.abort(new Error('stop')), 20)
    assert.is((await collecting).won, undefined)
  }),
)

test.run()
