/** Random appends by followers over a network that loses messages: every acknowledged entry is in the log once, and all books agree. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../core/errors.ts'
import { applyEntry } from '../../core/log/apply.ts'
import { createState } from '../../core/log/state.ts'
import type { Store } from '../../node/runtime/ports.ts'
import { type Follower, LogNodes } from '../support/log-nodes.ts'
import { ALICE } from '../support/log-swarm.ts'
import { accountsOf, bodiesInLog, checkOutcomes, grant, level, wishesOf } from '../support/log-wishes.ts'
import { createMemoryDisk, createMemoryStore, type MemoryDisk } from '../support/memory-store.ts'
import { keyNamed } from '../support/people.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { within } from '../support/within.ts'

const seed = testSeed()
const PEERS = ['edge 0', 'edge 1', 'edge 2'].map((name) => keyNamed(name).peer)

test(
  'three followers on a lossy network: every acknowledged entry once, books equal everywhere',
  within(60_000, async (signal) => {
    const nodes = new LogNodes(seed, { dropPermille: 100, reorder: true })
    const random = seededRandom(seed)
    const holder = await nodes.holder()
    const followers = await Promise.all(PEERS.map((peer) => nodes.follower(peer)))
    const rows = new Map<string, number>()
    const outcomes = await Promise.all(
      wishesOf(nodes, random, 150, PEERS).map((wish) => grant(followerAt(followers, wish.by).ledger, wish, rows)),
    )
    await level([holder.ledger, ...followers.map(({ ledger }) => ledger)], signal)
    checkOutcomes(outcomes, await bodiesInLog(holder.log), rows)
    assert.is(new Set([holder.store, ...followers.map(({ store }) => store)].map(accountsOf)).size, 1)
    assert.ok((await followerAt(followers, 0).ledger.audit()).replayMatches)
    for (const { close } of [...followers, holder]) await close()
  }),
)

test(
  'followers that die and come back at any moment keep rows that the log gives',
  within(60_000, async (signal) => {
    const nodes = new LogNodes(seed)
    const random = seededRandom(seed + 1)
    const holder = await nodes.holder()
    const disks: readonly MemoryDisk[] = PEERS.map(() => createMemoryDisk())
    const rows = new Map<string, number>()
    const wishes = wishesOf(nodes, random, 90, PEERS)
    for (let round = 0; round < 6; round += 1) {
      const followers = await Promise.all(
        PEERS.map((peer, place) => {
          const store = dying(disks[place], random)
          return nodes.follower(peer, { store, options: { followMs: 300, openMs: 300 } })
        }),
      )
      const slice = wishes.slice(round * 15, round * 15 + 15)
      await Promise.all(slice.map((wish) => grant(followerAt(followers, wish.by).ledger, wish, rows)))
      for (const { close } of followers) await close()
    }
    const last = await Promise.all(
      PEERS.map((peer, place) => nodes.follower(peer, { store: createMemoryStore(disks[place]) })),
    )
    await level([holder.ledger, ...last.map(({ ledger }) => ledger)], signal)
    const bodies = await bodiesInLog(holder.log)
    assert.is(new Set(bodies).size, bodies.length)
    for (const { ledger } of last) assert.ok((await ledger.audit()).replayMatches)
    const again = createState(nodes.swarm.genesis)
    for (const { bytes } of await holder.log.read(0n, 4_096)) assert.is(applyEntry(again, bytes).status, 'applied')
    for (const { close } of [...last, holder]) await close()
  }),
)

test(
  'validators that share one log: one goes away in the middle, every acknowledged entry is there once',
  within(60_000, async (signal) => {
    const nodes = new LogNodes(seed)
    const random = seededRandom(seed + 2)
    const log = nodes.memoryLog()
    const holders = await Promise.all([0, 1, 2].map((place) => nodes.holder(log, createMemoryStore(), place)))
    const following = holders.map(({ ledger }) => ledger.follow(signal))
    const peers = holders.map(({ transport }) => transport.self)
    const followers = await Promise.all(
      PEERS.map((peer, place) =>
        nodes.follower(peer, { validators: [...peers.slice(place), ...peers.slice(0, place)] }),
      ),
    )
    const rows = new Map<string, number>()
    const [first, ...rest] = holders
    assert.ok(first)
    const granted = wishesOf(nodes, random, 120, PEERS).map(async (wish, place) => {
      await new Promise((resolve) => setTimeout(resolve, place * 5))
      return grant(followerAt(followers, wish.by).ledger, wish, rows)
    })
    await new Promise((resolve) => setTimeout(resolve, 250))
    await first.close()
    const outcomes = await Promise.all(granted)
    const alive = [...rest, ...followers].map(({ ledger }) => ledger)
    await level(alive, signal)
    checkOutcomes(outcomes, await bodiesInLog(first.log), rows)
    assert.is(new Set([...rest, ...followers].map(({ store }) => accountsOf(store))).size, 1)
    assert.ok(alive.every(({ fault }) => fault === undefined))
    for (const { close } of [...followers, ...rest]) await close()
    void following
  }),
)

test(
  'a holder that dies between its log and its answer comes back, and the append that it lost is one entry',
  within(20_000, async () => {
    const nodes = new LogNodes(seed)
    const [log, store] = [nodes.memoryLog(), createMemoryStore()]
    let dying = false
    const first = await nodes.holder(
      {
        ...log,
        async propose(batch, options) {
          const proposed = await log.propose(batch, options)
          if (!dying) return proposed
          void first.close()
          return new Promise(() => {})
        },
      },
      store,
    )
    const edge = await nodes.follower(keyNamed('edge 0').peer)
    dying = true
    const expiresMs = BigInt(nodes.clock.nowMs() + 600_000)
    const made: bigint[] = []
    const held = edge.ledger.append(
      'hold',
      nodes.swarm.holdBody({ expiresMs }, ALICE, edge.transport.self),
      ({ entry }) => {
        made.push(entry.index)
        return []
      },
    )
    await new Promise((resolve) => setTimeout(resolve, 100))
    const again = await nodes.holder(log, store)
    assert.is((await held).status, 'applied')
    assert.equal(made, [1n])
    assert.is(again.ledger.state.head.index, 1n)
    for (const { close } of [edge, again]) await close()
  }),
)

function followerAt(followers: readonly Follower[], place: number): Follower {
  const follower = followers[place]
  if (follower === undefined) throw new Error('there is no such follower')
  return follower
}

/** A store whose process dies at some commit: before it or after it, and with it everything later. */
function dying(disk: MemoryDisk | undefined, random: ReturnType<typeof seededRandom>): Store {
  const inner = createMemoryStore(disk)
  let left = random.below(12)
  const before = random.below(2) === 0
  return {
    ...inner,
    async commit(writes) {
      left -= 1
      if (left < 0 || (left === 0 && before)) throw new FabricError('CF_STORE_FAILED', { reason: 'died' })
      await inner.commit(writes)
      if (left === 0) throw new FabricError('CF_STORE_FAILED', { reason: 'died' })
    },
  }
}

test.run()
