/** The parts of membership, each by itself: versions, digests, messages, rumours, times, doubts, partial views. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Chance } from '../../../../core/membership/chance.ts'
import { Doubts } from '../../../../core/membership/doubts.ts'
import {
  digestCodec,
  gossipCodec,
  helpCodec,
  syncCodec,
  toWire,
  versionsCodec,
} from '../../../../core/membership/messages.ts'
import { LAN, suspicionMs, tellCounts } from '../../../../core/membership/options.ts'
import { Rumours } from '../../../../core/membership/rumours.ts'
import { SelfVersion } from '../../../../core/membership/self.ts'
import { compare, differing, digestOfTable, versionsIn } from '../../../../core/membership/sync.ts'
import { MemberTable } from '../../../../core/membership/table.ts'
import { PARTIAL_VIEW, ViewNode } from '../../../../core/membership/view.ts'
import { freshness, openWord, sealWord, type Word, wordOf } from '../../../../core/membership/word.ts'
import { LAST_SEQUENCE, type PeerRecord } from '../../../../core/roster/record.ts'
import { keyNamed, swarmNamed } from '../../../support/people.ts'

const SWARM = swarmNamed('parts')
const NOW_MS = 1_700_000_000_000
const RECORD: PeerRecord = {
  addresses: [],
  region: 'eu',
  roles: 1,
  models: [],
  hardware: { device: 'cpu', memoryMiB: 1, threads: 1 },
  load: 0,
  slots: 1,
  factorPermille: 1_000,
  version: '1',
  incarnation: BigInt(NOW_MS),
  sequence: 3n,
}
const peerNamed = (name: string) => keyNamed(name).peer
const word = (name: string, incarnation = 1n, sequence = 0n): Word =>
  wordOf(peerNamed(name), { incarnation, sequence }, 400)
const chance = (): Chance => new Chance(Uint8Array.of(1, 2, 3, 4))

test('a word opens as what it was announced as, and as nothing else', () => {
  const sealed = sealWord(RECORD, SWARM, keyNamed('a'))
  const opened = openWord(sealed, sealed.envelope, SWARM)
  assert.is(opened.action, 'accept')
  const asOther = openWord({ ...sealed, peer: peerNamed('b') }, sealed.envelope, SWARM)
  assert.equal(asOther, { action: 'reject', reason: 'signer_mismatch' })
  assert.is(openWord({ ...sealed, sequence: 4n }, sealed.envelope, SWARM).action, 'reject')
  assert.is(openWord(sealed, sealed.envelope, swarmNamed('another')).action, 'reject')
})

test('records are fresh from an hour behind to 30 s ahead', () => {
  const of = (ms: number) =>
    freshness(
      { incarnation: BigInt(NOW_MS + ms), sequence: 0n },
      { wallMs: NOW_MS, recordTtlMs: LAN.recordTtlMs, recordAheadMs: LAN.recordAheadMs },
    )
  assert.equal([-3_600_001, -3_600_000, 0, 30_000, 30_001].map(of), ['old', 'fresh', 'fresh', 'fresh', 'ahead'])
})

test('digests agree when tables do, whatever the order, and differ in the buckets of what differs', () => {
  const names = Array.from({ length: 50 }, (_, place) => `peer ${place}`)
  const [a, b] = [names, [...names].reverse()].map((order) => {
    const table = new MemberTable<Word>(peerNamed('self'), chance())
    for (const name of order) table.put(word(name), 'alive', 0)
    return table
  }) as [MemberTable<Word>, MemberTable<Word>]
  assert.equal(differing(a.buckets, digestOfTable(b.buckets)), [])
  const newer = word('peer 7', 2n)
  b.put(newer, 'alive', 0)
  assert.equal(differing(a.buckets, digestOfTable(b.buckets)), [newer.bucket])
  a.put(newer, 'dead', 0)
  b.put(newer, 'left', 0)
  assert.equal(differing(a.buckets, digestOfTable(b.buckets)), [])
})

test('two tables tell each other what the other lacks, want what is newer, and hear whom the other holds to be dead', () => {
  const [mine, theirs] = ['me', 'you'].map((self) => new MemberTable<Word>(peerNamed(self), chance())) as [
    MemberTable<Word>,
    MemberTable<Word>,
  ]
  const all = Array.from({ length: 256 }, (_, bucket) => bucket)
  mine.put(word('only mine'), 'alive', 0)
  theirs.put(word('only yours'), 'alive', 0)
  theirs.put(word('gone and never known here'), 'dead', 0)
  for (const [name, state] of [
    ['dead there', 'dead'],
    ['dead here', 'alive'],
  ] as const)
    theirs.put(word(name), state, 0)
  mine.put(word('dead there'), 'alive', 0)
  mine.put(word('dead here'), 'dead', 0)
  mine.put(word('newer here', 2n), 'alive', 0)
  theirs.put(word('newer here', 1n), 'alive', 0)
  const { wanted, told, heard } = compare(mine, peerNamed('me'), peerNamed('you'), all, versionsIn(theirs, all))
  assert.equal(wanted, [peerNamed('only yours')])
  assert.equal(told.words.map(({ peer }) => peer).sort(), [peerNamed('only mine'), peerNamed('newer here')].sort())
  assert.equal(told.accusations, [{ accused: peerNamed('dead here'), incarnation: 1n, accuser: peerNamed('me') }])
  assert.equal(heard, [{ accused: peerNamed('dead there'), incarnation: 1n, accuser: peerNamed('you') }])
})

test('every message survives its bytes', () => {
  const gossip = toWire({
    words: [sealWord(RECORD, SWARM, keyNamed('a'))],
    accusations: [{ accused: peerNamed('b'), incarnation: 5n, accuser: peerNamed('c') }],
  })
  const survives = <T>(codec: { encode(value: T): Uint8Array; decode(body: Uint8Array): unknown }, value: T): void =>
    assert.equal(codec.decode(codec.encode(value)), { action: 'accept', value })
  survives(gossipCodec, gossip)
  survives(helpCodec, { target: peerNamed('b'), waitMs: 900, ...gossip })
  survives(syncCodec, { wanted: [peerNamed('d')], ...gossip })
  survives(digestCodec, { digest: new Uint8Array(2_048).fill(7) })
  survives(versionsCodec, {
    buckets: [0, 255],
    versions: [{ peer: peerNamed('a'), incarnation: 1n, sequence: 2n, isGone: true }],
  })
})

test('rumours go round a bounded number of times, the least told first, the newest word of a peer only', () => {
  const rumours = new Rumours<Word>(3)
  rumours.addWord(word('a', 1n))
  rumours.addWord(word('a', 2n))
  rumours.addAccusation({ accused: peerNamed('a'), incarnation: 2n, accuser: peerNamed('b') })
  assert.equal(
    rumours.take(6_000, { word: 2, accusation: 2 }).words.map(({ incarnation }) => incarnation),
    [2n],
  )
  rumours.addWord(word('c'))
  assert.is(rumours.take(450, { word: 2, accusation: 2 }).words[0]?.peer, peerNamed('c'))
  rumours.take(6_000, { word: 2, accusation: 2 })
  assert.is(rumours.count, 0)
  for (const name of ['d', 'e', 'f', 'g', 'h']) rumours.addWord(word(name))
  assert.is(rumours.count, 3)
})

test('a suspicion shrinks with its accusers, grows with bad health, and is short at once in a swarm of two', () => {
  assert.is(suspicionMs(LAN, 10, 1, 1), LAN.suspicionMaxMs)
  assert.is(suspicionMs(LAN, 10, 4, 1), LAN.suspicionMinMs)
  assert.ok(suspicionMs(LAN, 10, 2, 1) < LAN.suspicionMaxMs)
  assert.is(suspicionMs(LAN, 10, 4, 3), 3 * LAN.suspicionMinMs)
  assert.is(suspicionMs(LAN, 2, 1, 1), LAN.suspicionMinMs)
  assert.ok(suspicionMs(LAN, 2_000, 4, 1) < 5_000)
  assert.ok(tellCounts(2_000).accusation > tellCounts(10).accusation)
})

test('a node signs at once, then at most once in 5 s, refutes within a second, and renews what gets old', () => {
  const self = new SelfVersion(LAN)
  const first = self.due(0, NOW_MS)
  assert.equal(first, { incarnation: BigInt(NOW_MS), sequence: 0n })
  if (first !== undefined) self.signed(first, 0)
  self.announce()
  assert.is(self.due(4_999, NOW_MS), undefined)
  assert.equal(self.due(5_000, NOW_MS), { incarnation: BigInt(NOW_MS), sequence: 1n })
  assert.not.ok(self.blamed(BigInt(NOW_MS) + 1n), 'of an incarnation that it never had')
  assert.ok(self.blamed(BigInt(NOW_MS)))
  assert.equal(self.answer(100), { incarnation: BigInt(NOW_MS) + 1n, sequence: 0n })
  assert.is(self.answer(500), undefined)
  self.signed({ incarnation: BigInt(NOW_MS) + 1n, sequence: 0n }, 100)
  const renewed = NOW_MS + LAN.renewMs + 2
  assert.equal(self.due(4_000, renewed), { incarnation: BigInt(renewed), sequence: 0n })
  assert.is(self.goodbye().sequence, LAST_SEQUENCE)
  self.signed(self.goodbye(), 200)
  self.announce()
  assert.is(self.due(60_000, renewed), undefined)
})

test('a node that finds a newer record under its own key goes beyond it', () => {
  const self = new SelfVersion(LAN)
  self.signed({ incarnation: 10n, sequence: 0n }, 0)
  self.outdone({ incarnation: 50n, sequence: 9n })
  assert.equal(self.answer(1), { incarnation: 51n, sequence: 0n })
})

test('who accuses eight that are there is not believed until it is forgotten', () => {
  const doubts = new Doubts()
  for (let wrong = 0; wrong < 8; wrong += 1) doubts.add([peerNamed('liar')])
  assert.ok(doubts.isDoubted(peerNamed('liar')))
  assert.not.ok(doubts.isDoubted(peerNamed('another')))
  doubts.fade(30_000)
  assert.not.ok(doubts.isDoubted(peerNamed('liar')))
})

test('tombstones make room when the table is full of them, in the order of nothing but need', () => {
  const table = new MemberTable<Word>(peerNamed('self'), chance())
  for (const name of ['a', 'b', 'c']) table.put(word(name), name === 'b' ? 'dead' : 'alive', 0)
  assert.equal([table.size, table.thereCount], [3, 2])
  table.forget(() => true)
  assert.equal([table.size, table.thereCount], [2, 2])
  const round = [table.next(), table.next()]
  assert.equal([...round].sort(), [peerNamed('a'), peerNamed('c')].sort())
})

test('a partial view stays within its bound, knows nobody twice and never itself, and forgets who never answers', () => {
  const nodes = Array.from(
    { length: 200 },
    (_, id) => new ViewNode(id, PARTIAL_VIEW, new Chance(Uint8Array.of(id, 1, 2, 3))),
  )
  for (const [id, node] of nodes.entries()) for (let step = 1; step <= 5; step += 1) node.meet((id + step) % 200)
  for (let round = 0; round < 40; round += 1)
    for (const node of nodes.filter(({ self }) => self !== 13))
      for (const talk of node.round()) {
        const other = nodes[talk.to]
        if (other === undefined) continue
        if (talk.to === 13) node.unanswered(13)
        else other.learn(node.answered(talk, other.answer(node.self, talk)))
      }
  for (const { view, self } of nodes) {
    assert.ok(view.length <= PARTIAL_VIEW.viewMax)
    assert.is(new Set(view).size, view.length)
    assert.not.ok(view.includes(self))
  }
  const knowing = nodes.filter(({ view }) => view.includes(13)).length
  assert.ok(knowing < 20, `${knowing} still know the silent one`)
})

test('news reaches every view, by push while it is new and by pull after that', () => {
  const [a, b] = [0, 1].map((id) => new ViewNode(id, PARTIAL_VIEW, new Chance(Uint8Array.of(id, 1, 2, 3)))) as [
    ViewNode<number>,
    ViewNode<number>,
  ]
  b.meet(0)
  a.learn([{ id: 5, byteCount: 400 }])
  for (let round = 0; round < 10; round += 1) a.round()
  const [talk] = b.round()
  assert.ok(talk !== undefined)
  b.answered(talk, a.answer(1, talk))
  assert.ok(b.has(5))
})

test.run()
