/** Validators that share a log on etcd, and peers that follow through them: its leader is killed under load. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { entryLinks } from '../../node/stores/entry-link.ts'
import type { StateLedger } from '../../node/stores/ledger-core.ts'
import { EtcdRegionLog } from '../../node/stores/region-log-etcd.ts'
import { startEtcd, withoutEtcd } from '../support/etcd.ts'
import { LogNodes } from '../support/log-nodes.ts'
import { accountsOf, bodiesInLog, checkOutcomes, grant, level, wishesOf } from '../support/log-wishes.ts'
import { createMemoryStore } from '../support/memory-store.ts'
import { keyNamed } from '../support/people.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { within } from '../support/within.ts'

const WISH_COUNT = 240
const WISH_MS = 25
const skipped = withoutEtcd()

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function ledgerAt(ledgers: readonly StateLedger[], place: number): StateLedger {
  const ledger = ledgers[place]
  if (ledger === undefined) throw new Error('there is no such node')
  return ledger
}

if (skipped !== undefined) console.log(`skipped: ${skipped}`)
else
  test(
    'every acknowledged entry is in the log once when the leader of etcd is killed, and all books agree',
    within(90_000, async (signal) => {
      const seed = testSeed()
      const cluster = await startEtcd(3)
      const nodes = new LogNodes(seed, {}, {}, undefined, 'etcd')
      const { swarmId } = nodes.swarm.genesis
      const open = () =>
        EtcdRegionLog.open(
          { endpoints: cluster.endpoints, swarmId, linkOf: entryLinks(swarmId) },
          { clock: nodes.clock },
        )
      const logs = [await open(), await open(), await open()] as const
      const holders = await Promise.all(logs.map((log, place) => nodes.holder(log, createMemoryStore(), place)))
      const stop = new AbortController()
      const following = holders.map(({ ledger }) => ledger.follow(stop.signal))
      const edges = await Promise.all(['edge 0', 'edge 1'].map((name) => nodes.follower(keyNamed(name).peer)))
      const ledgers: readonly StateLedger[] = [...edges, ...holders].map(({ ledger }) => ledger)
      const rows = new Map<string, number>()
      const peers = [...edges, ...holders].map(({ transport }) => transport.self)
      const granted = wishesOf(nodes, seededRandom(seed), WISH_COUNT, peers).map(async (wish, place) => {
        await wait(place * WISH_MS)
        return grant(ledgerAt(ledgers, wish.by), wish, rows)
      })
      for (let kill = 0; kill < 2; kill += 1) {
        await wait(1_000)
        const leader = await cluster.leader()
        await leader.kill('SIGKILL')
        await wait(1_000)
        leader.start()
      }
      const outcomes = await Promise.all(granted)
      await level(ledgers, signal)
      checkOutcomes(outcomes, await bodiesInLog(logs[0]), rows)
      assert.is(new Set([...holders, ...edges].map(({ store }) => accountsOf(store))).size, 1)
      assert.ok(ledgers.every(({ fault }) => fault === undefined))
      stop.abort()
      await Promise.all(following)
      for (const node of [...edges, ...holders, ...logs]) await node.close()
      await cluster.stop()
    }),
  )

test.run()
