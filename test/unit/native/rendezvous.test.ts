import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { concatBytes } from '../../../core/codec/bytes.ts'
import { keyOf, peerIdOf } from '../../../core/ids.ts'
import { type Member, rosterSnapshot } from '../../../core/roster/roster.ts'
import { draw } from '../../../core/selection/committee.ts'
import { rank, rendezvousKey, rendezvousScore } from '../../../core/selection/rendezvous.ts'
import { rankedNatively, rankTopBy } from '../../../native/index.ts'
import { type Kernel, type Loaded, loadKernel } from '../../../native/load.ts'
import { type PackedPeers, type RendezvousTop, referenceTop } from '../../../native/reference.ts'
import { check } from '../../conformance/rendezvous.vectors.ts'
import type { VectorFile } from '../../conformance/vector.ts'
import { digestNamed, memberNamed } from '../../support/people.ts'
import { seededRandom, testSeed } from '../../support/seeded-random.ts'

const SEED = testSeed()
const KERNELS: readonly Kernel[] = ['avx2', 'scalar', 'reference']
const DRAW_KEY = Uint8Array.from({ length: 16 }, (_, index) => index)
const MANY = Array.from({ length: 150 }, (_, place) => memberNamed(`peer ${place}`, { weight: 1 + (place % 64) }))

/** The kernels of this machine; a path that it lacks is left out, in a line that says so. */
const loaded = KERNELS.flatMap((kernel): Loaded[] => {
  const found = loadKernel({ kernel, announce: (line) => console.log(`skipped ${kernel}: ${line}`) })
  return found.kernel === kernel ? [found] : []
})

type Swarm = { readonly count: number; readonly twins: number; readonly heavy: boolean; readonly seed: number }
const swarm: fc.Arbitrary<Swarm> = fc.record({
  count: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 5_000 })),
  twins: fc.integer({ min: 0, max: 20 }),
  heavy: fc.boolean(),
  seed: fc.nat(),
})

/** Twins have the key and weight of an earlier peer, so their scores are equal. */
function peersOf({ count, twins, heavy, seed }: Swarm): PackedPeers {
  const random = seededRandom(seed)
  const keys = random.bytes(count * 32)
  const weights = Uint8Array.from({ length: count }, () => (heavy ? 1 + random.below(64) : 1))
  for (let twin = 0; count > 0 && twin < twins; twin += 1) {
    const [from, to] = [random.below(count), random.below(count)]
    keys.copyWithin(to * 32, from * 32, from * 32 + 32)
    weights[to] = weights[from] ?? 0
  }
  return { keys, weights }
}

function membersOf({ keys, weights }: PackedPeers): readonly Member[] {
  return Array.from(weights, (weight, index) => ({
    ...memberNamed('anyone', { weight }),
    peer: peerIdOf(keys.slice(index * 32, index * 32 + 32)),
  }))
}

for (const { kernel, rendezvousTop } of loaded) {
  test(`${kernel}: the best of random peers are those of core's rank, with the scores of core`, () => {
    fc.assert(
      fc.property(swarm, fc.nat(6_000), fc.uint8Array({ minLength: 16, maxLength: 16 }), (parts, count, drawKey) => {
        const peers = peersOf(parts)
        const found = rendezvousTop(drawKey, peers, count)
        const members = membersOf(peers)
        const best = rank(drawKey, members).slice(0, count)
        const foundMembers = Array.from(found.indexes, (index) => members[index])
        assert.is(foundMembers.map((member) => member?.peer).join(), best.map(({ peer }) => peer).join())
        assert.is(new Set(found.indexes).size, Math.min(count, parts.count), 'nobody twice')
        const scores = best.slice(0, 50).map(({ peer, weight }) => scoreOf(drawKey, peer, weight))
        assert.equal([...found.scores.subarray(0, 50)], scores)
      }),
      { seed: SEED, numRuns: 12 },
    )
  })

  test(`${kernel}: it is the reference, place for place, also among twins`, () => {
    fc.assert(
      fc.property(swarm, fc.nat(6_000), (parts, count) => {
        const peers = peersOf({ ...parts, count: Math.min(parts.count, 1_000) })
        assert.equal(rendezvousTop(DRAW_KEY, peers, count), referenceTop(DRAW_KEY, peers, count))
      }),
      { seed: SEED, numRuns: 40 },
    )
  })

  test(`${kernel}: of two peers with one score the lower PeerId comes first, not the lower key`, () => {
    for (const [one, other, score] of COLLISIONS) assertLowerFirst(rendezvousTop, [one, other], score)
  })

  test(`${kernel}: twins come in the order in which they are listed`, () => {
    const keys = concatBytes(...Array.from({ length: 11 }, () => new Uint8Array(32).fill(7)))
    const { indexes } = rendezvousTop(DRAW_KEY, { keys, weights: new Uint8Array(11).fill(3) }, 5)
    assert.equal([...indexes], [0, 1, 2, 3, 4])
  })

  test(`${kernel}: a peer without weight scores nothing and comes last`, () => {
    const weights = Uint8Array.from({ length: 17 }, (_, index) => (index % 3 === 0 ? 0 : index))
    const keys = seededRandom(SEED).bytes(17 * 32)
    const { indexes, scores } = rendezvousTop(DRAW_KEY, { keys, weights }, 17)
    assert.equal(
      [...indexes.subarray(11)].sort((a, b) => a - b),
      [0, 3, 6, 9, 12, 15],
    )
    assert.equal([...scores.subarray(11)], [0n, 0n, 0n, 0n, 0n, 0n])
  })

  test(`${kernel}: nobody to draw from and nobody wanted give an empty list`, () => {
    const none = { keys: new Uint8Array(), weights: new Uint8Array() }
    assert.is(rendezvousTop(DRAW_KEY, none, 16).indexes.length, 0)
    const one = { keys: new Uint8Array(32), weights: Uint8Array.of(1) }
    assert.is(rendezvousTop(DRAW_KEY, one, 0).scores.length, 0)
  })

  test(`${kernel}: keys and weights that do not fit each other are refused`, () => {
    const peers = { keys: new Uint8Array(65), weights: Uint8Array.of(1, 1) }
    assert.throws(() => rendezvousTop(DRAW_KEY, peers, 1))
    assert.throws(() => rendezvousTop(new Uint8Array(15), { ...peers, keys: new Uint8Array(64) }, 1))
  })

  test(`${kernel}: draws with it are the draws without it, whatever the caps leave over`, () => {
    const rankTop = rankTopBy(rendezvousTop)
    const owners = MANY.map((member, place) => ({
      ...member,
      owner: digestNamed(`owner ${place % 9}`),
      block: place % 7,
    }))
    const roster = rosterSnapshot(1n, owners)
    for (const perOwner of [1, 2, 150])
      for (const replicas of [0, 1, 5, 30])
        for (const odd of [false, true]) {
          const input = {
            ...{ roster, beacon: digestNamed('beacon'), holdHash: digestNamed('hold'), replicas, spares: 3 },
            caps: { perOwner, perBlock: perOwner * 2 },
            eligible: ({ block }: Member) => !odd || block === 3,
          }
          assert.equal(draw({ ...input, roster: { ...roster, rankTop } }), draw(input))
        }
  })

  test(`${kernel}: every rendezvous vector holds`, () => {
    const path = new URL('../../conformance/vectors/rendezvous.json', import.meta.url)
    const { cases } = parseVectorFile(readFileSync(path, 'utf8'))
    for (const vector of cases) check(vector, rankTopBy(rendezvousTop))
    assert.ok(cases.length > 10)
  })
}

function parseVectorFile(text: string): VectorFile {
  return JSON.parse(text) as VectorFile
}

/** Two seeds of keys, found by a birthday search of some 2^32 hashes, with one score under DRAW_KEY. */
const COLLISIONS = [
  [collider(0xea2e_ecab_afb1_892en), collider(0x8a8f_1784_8a5d_f103n), 0x1413_ffdc_3516_6740n],
  [collider(0xd45e_4b86_daf4_331dn), collider(0x341d_9186_03e9_7712n), 0x0ab3_b9bb_12a3_24a2n],
] as const

/** An even seed gives a key that starts with 00 (`cf1aa…`), an odd one ff (`cf174…`): the keys' order is not the PeerIds'. */
function collider(seed: bigint): Uint8Array {
  const key = new Uint8Array(32)
  key[0] = seed % 2n === 0n ? 0 : 0xff
  new DataView(key.buffer).setBigUint64(8, seed, true)
  return key
}

function assertLowerFirst(top: RendezvousTop, pair: readonly Uint8Array[], score: bigint): void {
  // Behind a crowd that scores lower or higher, at every place of a vector.
  for (let place = 0; place < 20; place += 1) {
    const crowd = Array.from({ length: 20 }, (_, index) => new Uint8Array(32).fill(index + 1))
    for (const keys of [pair, [...pair].reverse()]) {
      const all = [...crowd.slice(0, place), keys[0] ?? crowd[0], ...crowd.slice(place), keys[1] ?? crowd[1]]
      const listed = all.filter((key) => key !== undefined)
      const peers = { keys: concatBytes(...listed), weights: new Uint8Array(listed.length).fill(1) }
      const { indexes, scores } = top(DRAW_KEY, peers, listed.length)
      const found = [...indexes]
        .filter((_, at) => scores[at] === score)
        .map((index) => peerIdOf(listed[index] ?? DRAW_KEY))
      assert.equal(found, keys.map((key) => peerIdOf(key)).sort())
    }
  }
}

function scoreOf(drawKey: Uint8Array, peer: Member['peer'], weight: number): bigint {
  const { hi, lo } = rendezvousScore(drawKey, peer, weight)
  return (BigInt(hi) << 32n) | BigInt(lo)
}

test('core orders two peers of one score by PeerId too', () => {
  for (const [one, other] of COLLISIONS) {
    const members = [one, other].map((key) => ({ ...memberNamed('anyone'), peer: peerIdOf(key) }))
    const [first, second] = rank(DRAW_KEY, members)
    assert.is(first?.peer, [peerIdOf(one), peerIdOf(other)].sort()[0])
    assert.equal(new Set(members), new Set([first, second]))
    assert.ok(
      Buffer.compare(keyOf(first?.peer ?? peerIdOf(one)), keyOf(second?.peer ?? peerIdOf(one))) > 0,
      'against the keys',
    )
  }
})

test('a roster gets a kernel when it is large, and stays as it is when it is small', () => {
  const large = rosterSnapshot(1n, MANY)
  const small = rosterSnapshot(1n, MANY.slice(0, 64))
  assert.is(rankedNatively(small), small)
  const key = rendezvousKey(digestNamed('beacon'), digestNamed('hold'))
  assert.equal(rankedNatively(large).rankTop?.(key, large.members, 5), rank(key, large.members).slice(0, 5))
})

test.run()
