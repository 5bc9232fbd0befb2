/** A node that follows the log: what it appends comes back once, with its own rows, whatever is lost on the way. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../../core/errors.ts'
import { userAccount } from '../../../../core/ids.ts'
import type { Applied, Refused } from '../../../../core/log/apply.ts'
import type { PeerTransport } from '../../../../node/runtime/ports.ts'
import type { StateLedger } from '../../../../node/stores/ledger-core.ts'
import { codeOf } from '../../../support/error-code.ts'
import { type Follower, LogNodes } from '../../../support/log-nodes.ts'
import { ALICE, BOB, MINT_KEY } from '../../../support/log-swarm.ts'
import { createMemoryDisk, createMemoryStore } from '../../../support/memory-store.ts'
import { keyNamed } from '../../../support/people.ts'
import { within } from '../../../support/within.ts'

const [EDGE, OTHER] = [keyNamed('edge').peer, keyNamed('other').peer]
const [alice, bob] = [userAccount(ALICE.peer), userAccount(BOB.peer)]
const reasonOf = (result: Applied | Refused): string => (result.status === 'refused' ? result.reason : result.status)
const expiresIn = (nodes: LogNodes): bigint => BigInt(nodes.clock.nowMs() + 600_000)
const pay = (nodes: LogNodes, idempotencyKey: string, amount = 10n): Uint8Array =>
  nodes.swarm.direct({ kind: 'transfer', from: alice, to: bob, amount, idempotencyKey }, ALICE)
const row = (applied: Applied) =>
  [{ table: 'work', worker: ALICE.peer, subject: applied.hash, bytes: Uint8Array.of(1) }] as const

async function level(ledgers: readonly StateLedger[], signal: AbortSignal): Promise<void> {
  const hashes = (): number => new Set(ledgers.map(({ state }) => state.head.hash)).size
  while (hashes() > 1) {
    signal.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

/** Loses answers of a type: the request arrives, the caller never knows. */
function deaf(inner: PeerTransport, type: string, lose: () => boolean): PeerTransport {
  return {
    self: inner.self,
    async request(peer, asked, body, options) {
      const answer = await inner.request(peer, asked, body, options)
      if (asked === type && lose()) throw new FabricError('CF_MESH_DEADLINE')
      return answer
    },
    openStream: (...call) => inner.openStream(...call),
    onMessage: (...handler) => inner.onMessage(...handler),
    onStream: (...handler) => inner.onStream(...handler),
    close: () => inner.close(),
  }
}

test(
  'a follower has the state of the log, and its append comes back with its own rows',
  within(5_000, async (signal) => {
    const nodes = new LogNodes()
    const holder = await nodes.holder()
    await holder.ledger.append('mint', nodes.swarm.mint(bob, 5n, 'before'))
    const { ledger, store, close } = await nodes.follower(EDGE)
    assert.equal(ledger.state.head, holder.ledger.state.head)
    const heard: boolean[] = []
    ledger.onApplied((_applied, own) => heard.push(own))
    const result = await ledger.append('transfer', pay(nodes, 'a'), row)
    assert.is(reasonOf(result), 'applied')
    assert.equal(result.status === 'applied' && store.work(ALICE.peer, result.hash), Uint8Array.of(1))
    await holder.ledger.append('mint', nodes.swarm.mint(bob, 5n, 'after'))
    await level([ledger, holder.ledger], signal)
    assert.equal(heard, [true, false])
    assert.is(ledger.state.accounts.get(bob)?.balance, 20n)
    assert.is(reasonOf(await ledger.append('transfer', pay(nodes, 'a'))), 'idempotency_repeat')
    assert.is(reasonOf(await ledger.append('transfer', pay(nodes, 'a', 11n))), 'idempotency_conflict')
    assert.ok((await ledger.audit()).replayMatches)
    await close()
    await holder.close()
  }),
)

test(
  'an append whose acknowledgements are lost is one entry, and resolves with its rows',
  within(8_000, async (signal) => {
    const nodes = new LogNodes()
    const holder = await nodes.holder()
    let lost = 0
    const wrap = (inner: PeerTransport): PeerTransport => deaf(inner, 'log/append', () => lost++ < 3)
    const { ledger, store, close } = await nodes.follower(EDGE, { wrap })
    const expiresMs = expiresIn(nodes)
    const hold = await ledger.append('hold', nodes.swarm.holdBody({ nonce: 7n, expiresMs }), row)
    assert.is(reasonOf(hold), 'applied')
    assert.equal(hold.status === 'applied' && store.work(ALICE.peer, hold.hash), Uint8Array.of(1))
    assert.is(reasonOf(await ledger.append('transfer', pay(nodes, 'x'), row)), 'applied')
    await level([ledger, holder.ledger], signal)
    assert.is(holder.ledger.state.head.index, 2n)
    await close()
    await holder.close()
  }),
)

test(
  'of two edges that are given one intent one gets the job, the other learns that it exists',
  within(8_000, async () => {
    const nodes = new LogNodes()
    const holder = await nodes.holder()
    const edges = await Promise.all([nodes.follower(EDGE), nodes.follower(OTHER)])
    const parts = { nonce: 9n, expiresMs: expiresIn(nodes) }
    const made: string[] = []
    const append = ({ ledger, transport }: Follower): Promise<Applied | Refused> =>
      ledger.append('hold', nodes.swarm.holdBody(parts, ALICE, transport.self), () => {
        made.push(transport.self)
        return []
      })
    const results = await Promise.all([...edges, ...edges].map(append))
    assert.equal(results.map(reasonOf).sort(), ['applied', 'job_exists', 'job_exists', 'job_exists'])
    assert.is(made.length, 1)
    for (const { close } of edges) await close()
    await holder.close()
  }),
)

test(
  'a restarted follower goes on where it was, and a hold of its earlier life exists',
  within(8_000, async () => {
    const nodes = new LogNodes()
    const holder = await nodes.holder()
    const disk = createMemoryDisk()
    const first = await nodes.follower(EDGE, { store: createMemoryStore(disk) })
    const body = nodes.swarm.holdBody({ nonce: 9n, expiresMs: expiresIn(nodes) })
    const { jobId } = await first.ledger.append('hold', body)
    await first.close()
    await holder.ledger.append('transfer', pay(nodes, 'meanwhile'))
    const again = await nodes.follower(EDGE, { store: createMemoryStore(disk) })
    assert.is(again.ledger.state.head.index, 2n)
    const repeated = await again.ledger.append('hold', body)
    assert.equal([reasonOf(repeated), repeated.jobId], ['job_exists', jobId])
    await again.close()
    await holder.close()
  }),
)

test(
  'a validator without the log hands appends on, and serves who cannot reach the one that has it',
  within(8_000, async () => {
    const nodes = new LogNodes()
    const holder = await nodes.holder()
    const [, relayPeer] = nodes.validators
    assert.ok(relayPeer)
    const relay = await nodes.follower(relayPeer, { relays: true })
    const edge = await nodes.follower(EDGE, { validators: [relayPeer] })
    assert.is(edge.ledger.state.head.index, 0n)
    const result = await edge.ledger.append('hold', nodes.swarm.holdBody({ expiresMs: expiresIn(nodes) }))
    assert.is(reasonOf(result), 'applied')
    assert.is(holder.ledger.state.head.index, 1n)
    assert.ok((await edge.ledger.audit()).replayMatches)
    for (const { close } of [edge, relay, holder]) await close()
  }),
)

test(
  'strangers may neither append nor read',
  within(8_000, async () => {
    const nodes = new LogNodes()
    const holder = await nodes.holder()
    nodes.strangers = [EDGE]
    const access = { appendMs: 200, readMs: 200 }
    const edge = await nodes.follower(EDGE, { access, options: { openMs: 300 } })
    assert.is(edge.ledger.state.head.index, -1n)
    assert.is(await codeOf(edge.ledger.append('transfer', pay(nodes, 'a'))), 'CF_MESH_REFUSED')
    assert.is(await codeOf(edge.access.read(0n, 1)), 'CF_MESH_REFUSED')
    assert.is(holder.ledger.state.head.index, 0n)
    for (const { close } of [edge, holder]) await close()
  }),
)

test(
  'a follower waits for a log that is away, and appends when it is back',
  within(8_000, async (signal) => {
    const nodes = new LogNodes()
    const [log, store] = [nodes.memoryLog(), createMemoryStore()]
    const holder = await nodes.holder(log, store)
    const edge = await nodes.follower(EDGE)
    await holder.close()
    const append = edge.ledger.append('transfer', pay(nodes, 'a'))
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.not(edge.ledger.connected)
    const back = await nodes.holder(log, store)
    assert.is(reasonOf(await append), 'applied')
    assert.ok(edge.ledger.connected)
    await level([edge.ledger, back.ledger], signal)
    for (const { close } of [edge, back]) await close()
  }),
)

test(
  'a log that was rolled back or replaced is found, and the follower appends no more',
  within(10_000, async () => {
    const nodes = new LogNodes()
    const holder = await nodes.holder()
    const edge = await nodes.follower(EDGE, { validators: nodes.validators.slice(0, 1) })
    for (const key of ['a', 'b', 'c']) await edge.ledger.append('transfer', pay(nodes, key))
    await holder.close()
    const shorter = await nodes.holder()
    await until(() => edge.ledger.fault !== undefined)
    assert.is(edge.ledger.fault?.code, 'CF_STORE_FORKED')
    assert.is(await codeOf(edge.ledger.append('transfer', pay(nodes, 'd'))), 'CF_STORE_FORKED')
    assert.is(edge.ledger.state.head.index, 3n)
    await edge.close()
    for (const key of ['x', 'y', 'z', 'w'])
      await shorter.ledger.append('mint', nodes.swarm.mint(bob, 1n, key, MINT_KEY))
    const forked = await nodes.follower(OTHER, { store: edge.store, validators: nodes.validators.slice(0, 1) })
    await until(() => forked.ledger.fault !== undefined)
    assert.is(forked.ledger.fault?.code, 'CF_STORE_FORKED')
    for (const { close } of [forked, shorter]) await close()
  }),
)

test(
  'one validator that serves another log is left for one that serves the true one',
  within(10_000, async (signal) => {
    const nodes = new LogNodes()
    const [holderPeer, liarPeer] = nodes.validators
    assert.ok(holderPeer && liarPeer)
    const holder = await nodes.holder()
    const edge = await nodes.follower(EDGE, { validators: [liarPeer, holderPeer] })
    await edge.ledger.append('transfer', pay(nodes, 'a'))
    const liar = await nodes.holder(nodes.memoryLog(), createMemoryStore(), 1)
    for (const key of ['x', 'y', 'z']) await liar.ledger.append('mint', nodes.swarm.mint(bob, 1n, key))
    await edge.close()
    const again = await nodes.follower(EDGE, { validators: [liarPeer, holderPeer], store: edge.store })
    await holder.ledger.append('transfer', pay(nodes, 'b'))
    await level([again.ledger, holder.ledger], signal)
    assert.is(again.ledger.fault, undefined)
    for (const { close } of [again, liar, holder]) await close()
  }),
)

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
}

test.run()
