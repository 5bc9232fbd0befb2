/** Certified snapshots: validators agree on the state's bytes, the log before is trimmed, and a newcomer starts from there. */
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { userAccount } from '../../core/ids.ts'
import { checkSnapshotProof } from '../../core/log/snapshot-proof.ts'
import type { PeerTransport, Store } from '../../node/runtime/ports.ts'
import { Database } from '../../node/stores/database.ts'
import { entryLinks } from '../../node/stores/entry-link.ts'
import { SqliteRegionLog } from '../../node/stores/region-log-sqlite.ts'
import { createSnapshotShelf, type SnapshotShelf } from '../../node/stores/snapshot-shelf.ts'
import { createStore } from '../../node/stores/store.ts'
import { failureOf } from '../support/error-code.ts'
import { type Follower, type Holder, LogNodes } from '../support/log-nodes.ts'
import { ALICE, BOB } from '../support/log-swarm.ts'
import { keyNamed } from '../support/people.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const EVERY = 16
const KEEP = 4
const [alice, bob] = [userAccount(ALICE.peer), userAccount(BOB.peer)]
const NEWCOMER = keyNamed('newcomer').peer

type Disk = { readonly database: Database; readonly store: Store; readonly shelf: SnapshotShelf }

function openDisk(): Disk {
  const database = Database.open({ path: join(tempFolder(), 'node.db') })
  return { database, store: createStore(database), shelf: createSnapshotShelf(database) }
}

type Swarm = {
  readonly nodes: LogNodes
  readonly holder: Holder
  readonly disk: Disk
  readonly validators: readonly Follower[]
  close(): Promise<void>
}

/** Validator 0 holds the log, 1 and 2 follow it: a quorum of four. */
async function openSwarm(): Promise<Swarm> {
  // So few entries in memory that what was trimmed is gone.
  const nodes = new LogNodes(1, {}, { recentCountMax: 2 })
  const disk = openDisk()
  const [owner, ...others] = nodes.validators
  assert.ok(owner)
  const log = new SqliteRegionLog(disk.database, { owner, linkOf: entryLinks(nodes.swarm.genesis.swarmId) })
  const parts = { every: EVERY, keepEntries: KEEP }
  const holder = await nodes.holder(log, disk.store, 0, { ...parts, shelf: disk.shelf })
  const validators = await Promise.all(
    others.slice(0, 2).map((peer) => {
      const { store, shelf } = openDisk()
      return nodes.follower(peer, { relays: true, store, snapshots: { ...parts, shelf } })
    }),
  )
  const close = async (): Promise<void> => {
    for (const node of [...validators, holder]) await node.close()
  }
  return { nodes, holder, disk, validators, close }
}

async function fill({ nodes, holder }: Swarm, from: number, to: number): Promise<void> {
  const expiresMs = BigInt(nodes.clock.nowMs() + 600_000)
  const appends: Promise<unknown>[] = []
  for (let place = from; place < to; place += 1) {
    const idempotencyKey = `pay ${place}`
    const pay = nodes.swarm.direct({ kind: 'transfer', from: alice, to: bob, amount: 1n, idempotencyKey }, ALICE)
    const hold = nodes.swarm.holdBody({ nonce: BigInt(place), expiresMs, maxTokens: 1 })
    appends.push(place % 3 === 0 ? holder.ledger.append('hold', hold) : holder.ledger.append('transfer', pay))
  }
  await Promise.all(appends)
}

async function until(holds: () => boolean, signal: AbortSignal): Promise<void> {
  while (!holds()) {
    signal.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test(
  'a quorum certifies the state at the same entry, and the log before it is trimmed',
  within(15_000, async (signal) => {
    const swarm = await openSwarm()
    const { holder, disk, nodes } = swarm
    await fill(swarm, 0, 40)
    await until(() => disk.shelf.newest()?.index === 32n, signal)
    const kept = disk.shelf.newest()
    assert.ok(kept)
    const proven = checkSnapshotProof(nodes.swarm.genesis, kept.proof)
    assert.is(proven.action === 'accept' && proven.value.index, 32n)
    await trimmed(holder, signal)
    assert.is((await failureOf(holder.log.read(0n, 1))).detail['reason'], 'trimmed')
    assert.ok(holder.ledger.state.snapshot)
    await swarm.close()
  }),
)

async function trimmed(holder: Holder, signal: AbortSignal): Promise<void> {
  for (;;) {
    signal.throwIfAborted()
    const { first } = (await failureOf(holder.log.read(0n, 1))).detail
    if (typeof first === 'bigint' && first >= 28n) return
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test(
  'a newcomer starts from the snapshot, has the same books, and goes on with the tail',
  within(15_000, async (signal) => {
    const swarm = await openSwarm()
    const { nodes, holder, disk } = swarm
    await fill(swarm, 0, 40)
    await until(() => disk.shelf.newest()?.index === 32n, signal)
    await trimmed(holder, signal)
    const { store, shelf } = openDisk()
    const snapshots = { shelf, every: EVERY, keepEntries: KEEP }
    const newcomer = await nodes.follower(NEWCOMER, { store, snapshots })
    await fill(swarm, 40, 44)
    await until(() => newcomer.ledger.state.head.hash === holder.ledger.state.head.hash, signal)
    const rows = (from: Store) => from.accounts().map(({ id, bytes }) => `${id} ${Buffer.from(bytes).toString('hex')}`)
    assert.is(shelf.newest()?.index, 32n)
    assert.equal(rows(store), rows(holder.store))
    assert.equal(store.unsettledJobs(99), holder.store.unsettledJobs(99))
    const audit = await newcomer.ledger.audit()
    assert.ok(audit.replayMatches && audit.zeroSum)
    assert.ok((await swarm.validators[0]?.ledger.audit())?.replayMatches)
    await newcomer.close()
    await swarm.close()
  }),
)

test(
  'a follower that was away while the log was trimmed catches up from the snapshot',
  within(15_000, async (signal) => {
    const swarm = await openSwarm()
    const { nodes, holder, disk } = swarm
    await fill(swarm, 0, 4)
    const { store, shelf } = openDisk()
    const snapshots = { shelf, every: EVERY, keepEntries: KEEP }
    const before = await nodes.follower(NEWCOMER, { store, snapshots })
    assert.is(before.ledger.state.head.index, 4n)
    await before.close()
    await fill(swarm, 4, 60)
    await until(() => disk.shelf.newest()?.index === 48n, signal)
    await trimmed(holder, signal)
    const again = await nodes.follower(NEWCOMER, { store, snapshots })
    await until(() => again.ledger.state.head.hash === holder.ledger.state.head.hash, signal)
    assert.is(again.ledger.fault, undefined)
    assert.is((await again.ledger.append('transfer', payment(nodes, 'after'))).status, 'applied')
    await again.close()
    await swarm.close()
  }),
)

test(
  'pieces or certificates that are not the swarm’s are fetched elsewhere',
  within(15_000, async (signal) => {
    const swarm = await openSwarm()
    const { nodes, holder, disk } = swarm
    await fill(swarm, 0, 40)
    await until(() => disk.shelf.newest()?.index === 32n, signal)
    await trimmed(holder, signal)
    const { store, shelf } = openDisk()
    const snapshots = { shelf, every: EVERY, keepEntries: KEEP }
    let lies = 0
    const wrap = (inner: PeerTransport): PeerTransport => ({
      self: inner.self,
      async request(peer, type, body, options) {
        const answer = await inner.request(peer, type, body, options)
        if (type !== 'log/snapshot' || peer !== nodes.validators[0]) return answer
        lies += 1
        return answer.map((byte, place) => (place === answer.length - 40 ? byte ^ 1 : byte))
      },
      openStream: (...call) => inner.openStream(...call),
      onMessage: (...handler) => inner.onMessage(...handler),
      onStream: (...handler) => inner.onStream(...handler),
      close: () => inner.close(),
    })
    const newcomer = await nodes.follower(NEWCOMER, { store, snapshots, wrap })
    await until(() => newcomer.ledger.state.head.hash === holder.ledger.state.head.hash, signal)
    assert.ok(lies > 0)
    await newcomer.close()
    await swarm.close()
  }),
)

function payment(nodes: LogNodes, idempotencyKey: string): Uint8Array {
  return nodes.swarm.direct({ kind: 'transfer', from: alice, to: bob, amount: 1n, idempotencyKey }, ALICE)
}

test.run()
