import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { concatBytes, u32le } from '../../../../core/codec/bytes.ts'
import { keyOf } from '../../../../core/ids.ts'
import { rank, rendezvousKey, rendezvousScore } from '../../../../core/selection/rendezvous.ts'
import { compareHash64, sipHash24 } from '../../../../core/selection/siphash.ts'
import { digestNamed, keyNamed, memberNamed } from '../../../support/people.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const KEY = rendezvousKey(digestNamed('beacon'), digestNamed('hold'))
const MEMBERS = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'].map((name) => memberNamed(name))

test('a score is the largest SipHash over the counters below the weight', () => {
  const { peer } = keyNamed('a')
  const hashes = Array.from({ length: 64 }, (_, k) => sipHash24(KEY, concatBytes(keyOf(peer), u32le(k))))
  for (const weight of [1, 2, 7, 64]) {
    const best = hashes.slice(0, weight).reduce((most, hash) => (compareHash64(hash, most) > 0 ? hash : most))
    assert.equal(rendezvousScore(KEY, peer, weight), best)
  }
})

test('the rank does not depend on the order in which members are listed', () => {
  assert.equal(rank(KEY, [...MEMBERS].reverse()), rank(KEY, MEMBERS))
})

test('another beacon or another hold gives another rank', () => {
  const order = (beacon: string, hold: string) =>
    rank(rendezvousKey(digestNamed(beacon), digestNamed(hold)), MEMBERS).map(({ peer }) => peer)
  assert.not.equal(order('beacon', 'hold 2'), order('beacon', 'hold'))
  assert.not.equal(order('beacon 2', 'hold'), order('beacon', 'hold'))
})

test('a member that leaves moves nobody else past each other', () => {
  const before = rank(KEY, MEMBERS)
  for (const gone of MEMBERS) {
    const left = MEMBERS.filter((member) => member !== gone)
    assert.equal(
      rank(KEY, left),
      before.filter((member) => member !== gone),
    )
  }
})

test('a heavier weight never lowers a member', () => {
  const places = [1, 2, 4, 8, 16, 32, 64].map((weight) => {
    const ranked = rank(
      KEY,
      MEMBERS.map((member, place) => (place === 0 ? { ...member, weight } : member)),
    )
    return ranked.findIndex(({ peer }) => peer === MEMBERS[0]?.peer)
  })
  assert.equal(
    [...places].sort((a, b) => b - a),
    places,
  )
})

test('first ranks fall in proportion to weights', () => {
  const random = seededRandom(testSeed())
  const weighted = MEMBERS.map((member, place) => ({ ...member, weight: place === 0 ? 8 : 1 }))
  let wins = 0
  for (let draw = 0; draw < 2000; draw++) if (rank(random.bytes(16), weighted)[0]?.peer === weighted[0]?.peer) wins++
  // 8 of 15: 1067 expected, standard deviation 22; six of them either way.
  assert.ok(wins > 930 && wins < 1200, `${wins} of 2000`)
})

test.run()
