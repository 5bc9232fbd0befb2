/** The region log on three etcd members: the contract, then what lost answers, other writers and members that go must not change. */

import { request } from 'undici'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { sha256 } from '#core/hash'
import { u64be } from '../../core/codec/bytes.ts'
import { parseSwarmId, type SwarmId } from '../../core/ids.ts'
import type { Proposed } from '../../node/runtime/ports.ts'
import { systemClock } from '../../node/runtime/system.ts'
import { EtcdRegionLog } from '../../node/stores/region-log-etcd.ts'
import { base64Of, EtcdKeys } from '../../node/stores/region-log-etcd-wire.ts'
import { codeOf } from '../support/error-code.ts'
import { type EtcdCluster, startEtcd, withoutEtcd } from '../support/etcd.ts'
import { lossyProxy } from '../support/lossy-proxy.ts'
import { EMPTY_HASH, toyChain, toyEntry, toyLink } from '../support/toy-entries.ts'
import { within } from '../support/within.ts'
import { regionLogSuite } from './region-log.suite.ts'

const skipped = withoutEtcd()
let swarmCount = 0

const key = (seed: number): Uint8Array => sha256(Uint8Array.of(seed, seed >> 8))
const hashAt = (chain: readonly Uint8Array[], place: number): Uint8Array =>
  place < 0 ? EMPTY_HASH : sha256(chain[place] ?? EMPTY_HASH)

function newSwarm(): SwarmId {
  swarmCount += 1
  const swarmId = parseSwarmId(swarmCount.toString(16).padStart(64, '0'))
  if (swarmId === undefined) throw new Error('no swarm id')
  return swarmId
}

function openLog(endpoints: readonly string[], swarmId = newSwarm(), deadlineMs = 10_000): Promise<EtcdRegionLog> {
  return EtcdRegionLog.open({ endpoints, swarmId, linkOf: toyLink, deadlineMs }, { clock: systemClock })
}

/** Appends one entry at a time, on whatever the head is by then. */
async function appendAll(log: EtcdRegionLog, count: number, writer: number): Promise<void> {
  for (let serial = 0; serial < count; ) {
    const head = (await log.head()) ?? { index: -1n, hash: EMPTY_HASH }
    const entry = toyEntry(head.index + 1n, head.hash, Uint8Array.of(writer, serial))
    const proposed = await log.propose([entry], {
      expectHead: head.hash,
      idempotencyKey: sha256(entry),
      projection: [],
    })
    if (proposed.status !== 'conflict') serial += 1
  }
}

/** Payloads of all entries as `writer.serial`, sorted: equal to what was acknowledged when each is there exactly once. */
async function written(log: EtcdRegionLog): Promise<readonly string[]> {
  const records = await log.read(0n, 1_000)
  return records.map(({ bytes }) => `${bytes[40]}.${bytes[41]}`).sort()
}

function expected(writers: readonly number[], count: number): readonly string[] {
  return writers.flatMap((writer) => Array.from({ length: count }, (_, serial) => `${writer}.${serial}`)).sort()
}

function faultTests(cluster: EtcdCluster): void {
  const test = suite('region log on etcd')

  test(
    'a proposal whose answer was lost is in the log once and says so',
    within(8_000, async () => {
      const proxy = await lossyProxy(cluster.endpoints[0] ?? '')
      const log = await openLog([proxy.origin])
      const chain = toyChain(6)
      for (let place = 0; place < 3; place += 1) {
        proxy.loseNext = place + 1
        const batch = chain.slice(place * 2, place * 2 + 2)
        const options = { expectHead: hashAt(chain, place * 2 - 1), idempotencyKey: key(place), projection: [] }
        const proposed = await log.propose(batch, options)
        assert.equal(proposed.status !== 'conflict' && proposed.first, BigInt(place * 2))
      }
      assert.is((await log.read(0n, 99)).length, 6)
      await log.close()
      proxy.close()
    }),
  )

  test(
    'proposals that follow from each other share a transaction',
    within(8_000, async () => {
      const proxy = await lossyProxy(cluster.endpoints[1] ?? '')
      const log = await openLog([proxy.origin])
      const chain = toyChain(20)
      proxy.counts.clear()
      const proposing = chain.map((entry, place) =>
        log.propose([entry], { expectHead: hashAt(chain, place - 1), idempotencyKey: key(place), projection: [] }),
      )
      const results: readonly Proposed[] = await Promise.all(proposing)
      assert.equal(
        results.map((result) => result.status !== 'conflict' && result.last),
        chain.map((_, place) => BigInt(place)),
      )
      // One to learn the head, one for all.
      assert.is(proxy.counts.get('/v3/kv/txn'), 2)
      await log.close()
      proxy.close()
    }),
  )

  test(
    'a chain too long for one transaction goes in several, a batch too large for one is refused',
    within(8_000, async () => {
      const log = await openLog(cluster.endpoints)
      const chain = toyChain(300)
      const proposing = [0, 100, 200].map((from) =>
        log.propose(chain.slice(from, from + 100), {
          expectHead: hashAt(chain, from - 1),
          idempotencyKey: key(from),
          projection: [],
        }),
      )
      assert.equal(
        (await Promise.all(proposing)).map(({ status }) => status),
        ['appended', 'appended', 'appended'],
      )
      const options = { expectHead: hashAt(chain, 299), idempotencyKey: key(7), projection: [] }
      assert.is(await codeOf(log.propose(toyChain(127, 300n, hashAt(chain, 299)), options)), 'CF_STORE_FAILED')
      const huge = toyEntry(300n, hashAt(chain, 299), new Uint8Array(1_500_000))
      assert.is(await codeOf(log.propose([huge], options)), 'CF_STORE_FAILED')
      assert.is((await log.head())?.index, 299n)
      await log.close()
    }),
  )

  test(
    'two writers of one log take turns and neither loses an entry; another swarm sees none of it',
    within(12_000, async () => {
      const swarmId = newSwarm()
      const logs = await Promise.all([openLog(cluster.endpoints, swarmId), openLog(cluster.endpoints, swarmId)])
      await Promise.all(logs.map((log, writer) => appendAll(log, 10, writer)))
      const [first] = logs
      assert.equal(first && (await written(first)), expected([0, 1], 10))
      const other = await openLog(cluster.endpoints)
      assert.is(await other.head(), undefined)
      await Promise.all([...logs, other].map((log) => log.close()))
    }),
  )

  test(
    'a tail hears of another writer by its watch, not only by looking now and then',
    within(8_000, async (signal) => {
      const swarmId = newSwarm()
      const options = { endpoints: cluster.endpoints, swarmId, linkOf: toyLink }
      // Only a ring ends a wait of this clock.
      const sleep = (_ms: number, until?: AbortSignal): Promise<void> => systemClock.sleep(60_000, until)
      const reader = await EtcdRegionLog.open(options, { clock: { ...systemClock, sleep } })
      const writer = await openLog(cluster.endpoints, swarmId)
      const tail = reader.tail(0n, signal)
      for (let index = 0n; index < 5n; index += 1n) {
        await appendAll(writer, 1, Number(index))
        assert.is((await tail.next()).value?.index, index)
      }
      await Promise.all([reader.close(), writer.close()])
    }),
  )

  test(
    'a tail hears of another writer, through compaction, trimming behind it and the loss of its member',
    within(14_000, async () => {
      const swarmId = newSwarm()
      const [reader, writer] = await Promise.all([
        openLog(cluster.endpoints, swarmId),
        openLog(cluster.endpoints.slice(1), swarmId),
      ])
      const stop = new AbortController()
      const seen: bigint[] = []
      const reading = (async () => {
        for await (const { index } of reader.tail(0n, stop.signal)) {
          seen.push(index)
          if (index === 29n) stop.abort()
        }
      })()
      await appendAll(writer, 10, 1)
      while (seen.length < 10) await systemClock.sleep(5)
      await writer.snapshot(8n, key(1))
      await writer.trim(8n)
      await appendAll(writer, 10, 2)
      await cluster.members[0]?.kill()
      await appendAll(writer, 10, 3)
      await reading
      assert.equal(
        seen,
        Array.from({ length: 30 }, (_, index) => BigInt(index)),
      )
      cluster.members[0]?.start()
      await Promise.all([reader.close(), writer.close()])
    }),
  )

  test(
    'a member and then the leader killed and started again under load: every acknowledged entry is there exactly once',
    within(25_000, async () => {
      const swarmId = newSwarm()
      const logs = await Promise.all([openLog(cluster.endpoints, swarmId), openLog(cluster.endpoints, swarmId)])
      const writing = Promise.all(logs.map((log, writer) => appendAll(log, 60, writer)))
      const leader = await cluster.leader()
      const follower = cluster.members.find((member) => member !== leader)
      await follower?.kill()
      await systemClock.sleep(100)
      follower?.start()
      await cluster.leader()
      await leader.kill()
      await systemClock.sleep(500)
      leader.start()
      await writing
      const [first] = logs
      assert.equal(first && (await written(first)), expected([0, 1], 60))
      await Promise.all(logs.map((log) => log.close()))
    }),
  )

  test(
    'a read between the steps of a trim finds neither a hole nor what is trimmed',
    within(8_000, async () => {
      const swarmId = newSwarm()
      const log = await openLog(cluster.endpoints, swarmId)
      await appendAll(log, 5, 0)
      const mark = JSON.stringify({ key: new EtcdKeys(swarmId).first, value: base64Of(u64be(3n)) })
      const answer = await request(`${cluster.endpoints[0]}/v3/kv/put`, { method: 'POST', body: mark })
      await answer.body.dump()
      assert.equal(
        (await log.read(3n, 9)).map(({ index }) => index),
        [3n, 4n],
      )
      assert.is(await codeOf(log.read(2n, 9)), 'CF_STORE_FAILED')
      await log.close()
    }),
  )

  test(
    'a leader that only falls silent is passed by, and what it did meanwhile counts once',
    within(15_000, async () => {
      const log = await openLog(cluster.endpoints)
      await appendAll(log, 5, 0)
      const leader = await cluster.leader()
      leader.signal('SIGSTOP')
      try {
        await appendAll(log, 20, 1)
      } finally {
        leader.signal('SIGCONT')
      }
      await appendAll(log, 5, 2)
      assert.equal(await written(log), [...expected([0], 5), ...expected([1], 20), ...expected([2], 5)].sort())
      await log.close()
    }),
  )

  test(
    'without a member a call ends by its deadline; a full or wrong server is told at once',
    within(8_000, async () => {
      const proxy = await lossyProxy(cluster.endpoints[0] ?? '')
      const log = await openLog([proxy.origin], newSwarm(), 700)
      const options = { expectHead: EMPTY_HASH, idempotencyKey: key(1), projection: [] }
      const reasonWith = async (status: number, body: string): Promise<unknown> => {
        proxy.canned = { status, body }
        const error: unknown = await log.propose(toyChain(1), options).catch((reason) => reason)
        return error instanceof Error && 'detail' in error ? parseReason(error.detail) : error
      }
      assert.is(await reasonWith(503, '{"code":14,"message":"etcdserver: leader changed"}'), 'etcd_unreachable')
      const full = '{"code":8,"message":"etcdserver: mvcc: database space exceeded"}'
      assert.is(await reasonWith(429, full), 'etcd_no_space')
      assert.is(await reasonWith(404, 'page not found'), 'etcd_refused')
      assert.is(await reasonWith(200, '{"header":[]}'), 'etcd_answer_unreadable')
      proxy.canned = undefined
      assert.is((await log.propose(toyChain(1), options)).status, 'appended')
      proxy.close()
      assert.is(await codeOf(log.head()), 'CF_STORE_FAILED')
      await log.close()
    }),
  )

  test('only origins are endpoints', async () => {
    for (const endpoint of ['127.0.0.1:2379', 'etcd://127.0.0.1', 'http://u:p@127.0.0.1', 'http://127.0.0.1/v3'])
      assert.is(await codeOf(openLog([endpoint])), 'CF_CONFIG_INVALID')
    assert.is(await codeOf(openLog([])), 'CF_CONFIG_INVALID')
  })

  test.after(() => cluster.stop())
  test.run()
}

function parseReason(detail: unknown): unknown {
  return (detail as { readonly reason?: unknown }).reason
}

if (skipped !== undefined) console.log(`region log on etcd: skipped, ${skipped}`)
else {
  const cluster = await startEtcd()
  regionLogSuite('etcd', () => openLog(cluster.endpoints)).run()
  faultTests(cluster)
}
