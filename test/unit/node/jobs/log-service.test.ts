/** What a validator answers about the log, and what it refuses; and what a reader does with a validator that answers badly. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type JobId, keyOf, userAccount } from '../../../../core/ids.ts'
import { intentCodec, jobIdOf } from '../../../../core/log/intent.ts'
import {
  appendRequestCodec,
  decodeAppendAnswer,
  pageCodec,
  readRequestCodec,
  tailRequestCodec,
} from '../../../../node/jobs/log-messages.ts'
import type { PeerTransport } from '../../../../node/runtime/ports.ts'
import { codeOf, failureOf } from '../../../support/error-code.ts'
import { LogNodes } from '../../../support/log-nodes.ts'
import { ALICE, BOB, intentOfAlice } from '../../../support/log-swarm.ts'
import { keyNamed } from '../../../support/people.ts'
import { within } from '../../../support/within.ts'

const [EDGE, OTHER] = [keyNamed('edge').peer, keyNamed('other').peer]
const [alice, bob] = [userAccount(ALICE.peer), userAccount(BOB.peer)]
const CALL = { deadlineMs: 2_000 }
const NONE = new Uint8Array()

function payment(nodes: LogNodes, idempotencyKey: string): Uint8Array {
  return nodes.swarm.direct({ kind: 'transfer', from: alice, to: bob, amount: 1n, idempotencyKey }, ALICE)
}

/** What Alice's intent with this expiry becomes. */
function jobOf({ swarm }: LogNodes, expiresMs: bigint): JobId {
  return jobIdOf(swarm.genesis.swarmId, intentCodec.encode(intentOfAlice({ expiresMs })))
}

async function askAppend(
  asker: PeerTransport,
  holder: PeerTransport,
  parts: Partial<Parameters<typeof appendRequestCodec.encode>[0]>,
) {
  const request = appendRequestCodec.encode({ kind: 'transfer', body: NONE, origin: NONE, again: false, ...parts })
  return decodeAppendAnswer(await asker.request(holder.self, 'log/append', request, CALL))
}

test(
  'an append that comes again from the same peer has the first answer, from another it is refused',
  within(5_000, async () => {
    const nodes = new LogNodes()
    const holder = await nodes.holder()
    const [edge, other] = [nodes.network.endpoint(EDGE), nodes.network.endpoint(OTHER)]
    const body = payment(nodes, 'a')
    const first = await askAppend(edge, holder.transport, { body })
    assert.equal(first, { status: 'applied', index: 1n })
    assert.equal(await askAppend(edge, holder.transport, { body }), first)
    assert.equal(await askAppend(edge, holder.transport, { body, origin: keyOf(EDGE), again: true }), first)
    const theirs = await askAppend(other, holder.transport, { body, again: true })
    assert.is(theirs?.status === 'refused' && theirs.reason, 'idempotency_repeat')
    assert.is(holder.ledger.state.head.index, 1n)
    await holder.close()
  }),
)

test(
  'an entry from before the validator’s start answers who has asked for it before',
  within(5_000, async () => {
    const nodes = new LogNodes()
    const log = nodes.memoryLog()
    const first = await nodes.holder(log)
    const edge = nodes.network.endpoint(EDGE)
    const body = payment(nodes, 'a')
    await askAppend(edge, first.transport, { body })
    await first.close()
    const again = await nodes.holder(log, first.store)
    const fresh = await askAppend(edge, again.transport, { body })
    assert.is(fresh?.status === 'refused' && fresh.reason, 'idempotency_repeat')
    assert.equal(await askAppend(edge, again.transport, { body, again: true }), { status: 'applied', index: 1n })
    await again.close()
  }),
)

test(
  'validators that share a log ask each other whose an entry is',
  within(8_000, async (signal) => {
    const nodes = new LogNodes(1, {}, {}, undefined, 'etcd')
    const log = nodes.memoryLog()
    const [one, two] = [await nodes.holder(log), await nodes.holder(log, undefined, 1)]
    const following = two.ledger.follow(signal)
    const [edge, other] = [nodes.network.endpoint(EDGE), nodes.network.endpoint(OTHER)]
    const body = payment(nodes, 'a')
    assert.is((await askAppend(edge, one.transport, { body }))?.status, 'applied')
    while (two.ledger.state.head.index < 1n) await new Promise((resolve) => setTimeout(resolve, 5))
    const theirs = await askAppend(other, two.transport, { body, again: true })
    assert.is(theirs?.status === 'refused' && theirs.reason, 'idempotency_repeat')
    assert.equal(await askAppend(edge, two.transport, { body, again: true }), { status: 'applied', index: 1n })
    await one.close()
    const late = await askAppend(edge, two.transport, { body, again: true })
    assert.equal(late, { status: 'applied', index: 1n })
    await two.close()
    await log.close()
    void following
  }),
)

test(
  'nobody but a validator speaks for another, and malformed or foreign entries are refused',
  within(5_000, async () => {
    const nodes = new LogNodes()
    const holder = await nodes.holder()
    const edge = nodes.network.endpoint(EDGE)
    const body = payment(nodes, 'a')
    assert.is(await codeOf(askAppend(edge, holder.transport, { body, origin: keyOf(OTHER) })), 'CF_MESH_REFUSED')
    assert.is(await codeOf(askAppend(edge, holder.transport, { kind: 'genesis' })), 'CF_MESH_REFUSED')
    for (const garbage of [NONE, Uint8Array.of(0x91, 1), new Uint8Array(3_000).fill(0xff)])
      for (const type of ['log/append', 'log/read'])
        assert.is(await codeOf(edge.request(holder.transport.self, type, garbage, CALL)), 'CF_MESH_REFUSED')
    const malformed = await askAppend(edge, holder.transport, { body: Uint8Array.of(1, 2, 3) })
    assert.is(malformed?.status === 'refused' && malformed.reason, 'body_malformed')
    assert.is(holder.ledger.state.head.index, 0n)
    await holder.close()
  }),
)

test(
  'a hold is taken only from the edge that it names, also where a validator hands it on',
  within(8_000, async () => {
    const nodes = new LogNodes()
    const holder = await nodes.holder()
    const [, relayPeer] = nodes.validators
    assert.ok(relayPeer)
    const relay = await nodes.follower(relayPeer, { relays: true })
    const [edge, other] = [nodes.network.endpoint(EDGE), nodes.network.endpoint(OTHER)]
    const expiresMs = BigInt(nodes.clock.nowMs() + 600_000)
    const body = nodes.swarm.holdBody({ expiresMs }, ALICE, EDGE)
    for (const { transport } of [holder, relay]) {
      const theirs = await askAppend(other, transport, { kind: 'hold', body })
      assert.is(theirs?.status === 'refused' && theirs.reason, 'authority_missing')
    }
    const handedOn = await askAppend(relay.transport, holder.transport, { kind: 'hold', body, origin: keyOf(OTHER) })
    assert.is(handedOn?.status === 'refused' && handedOn.reason, 'authority_missing')
    assert.is(holder.ledger.state.jobs.get(jobOf(nodes, expiresMs)), undefined)
    assert.equal(await askAppend(edge, relay.transport, { kind: 'hold', body }), { status: 'applied', index: 1n })
    assert.is(holder.ledger.state.jobs.get(jobOf(nodes, expiresMs))?.edge, EDGE)
    const late = nodes.swarm.holdBody({ expiresMs }, ALICE, OTHER)
    const second = await askAppend(other, holder.transport, { kind: 'hold', body: late })
    assert.is(second?.status === 'refused' && second.reason, 'job_exists', 'one job, whoever else is given the intent')
    for (const { close } of [relay, holder]) await close()
  }),
)

test(
  'a page has at most 256 entries, however many are asked for and there are',
  within(8_000, async () => {
    const nodes = new LogNodes(1, {}, { recentCountMax: 8 })
    const holder = await nodes.holder()
    await Promise.all(Array.from({ length: 300 }, (_, at) => holder.ledger.append('transfer', payment(nodes, `${at}`))))
    const edge = nodes.network.endpoint(EDGE)
    const read = async (from: bigint, countMax: number) => {
      const body = readRequestCodec.encode({ from, countMax })
      const page = pageCodec.decode(await edge.request(holder.transport.self, 'log/read', body, CALL))
      assert.ok(page.action === 'accept')
      return page.value
    }
    assert.is((await read(0n, 65_535)).entries.length, 256)
    assert.is((await read(299n, 65_535)).entries.length, 2)
    assert.equal((await read(400n, 9)).entries, [])
    assert.is((await read(400n, 9)).head, 300n)
    await holder.close()
  }),
)

test(
  'a peer may hold so many tails, and a closed one makes room',
  within(8_000, async () => {
    const nodes = new LogNodes(1, {}, { tailsPerPeerMax: 2 })
    const holder = await nodes.holder()
    const edge = nodes.network.endpoint(EDGE)
    const open = async () => {
      const body = tailRequestCodec.encode({ from: 0n })
      const stream = await edge.openStream(holder.transport.self, 'log/tail', body, CALL)
      const frames = stream[Symbol.asyncIterator]()
      return { stream, first: await failureOf(frames.next()) }
    }
    const [one, two] = [await open(), await open()]
    assert.equal([one.first.code, two.first.code], ['resolved', 'resolved'])
    assert.is((await open()).first.code, 'CF_MESH_REFUSED')
    one.stream.destroy()
    for (let code = ''; code !== 'resolved'; ) code = (await open()).first.code
    await holder.close()
  }),
)

for (const [name, serve] of [
  ['takes the call and says nothing', async () => new Promise<void>(() => {})],
  ['ends every tail at once', async () => {}],
  ['sends what is no page', async (send: (frame: Uint8Array) => Promise<void>) => send(Uint8Array.of(1, 2, 3))],
  [
    'sends entries from another place',
    async (send: (frame: Uint8Array) => Promise<void>) =>
      send(pageCodec.encode({ head: 9n, first: 0n, from: 7n, entries: [Uint8Array.of(1)] })),
  ],
  [
    'sends entries that are none',
    async (send: (frame: Uint8Array) => Promise<void>) =>
      send(pageCodec.encode({ head: 9n, first: 0n, from: 0n, entries: [Uint8Array.of(1)] })),
  ],
] as const)
  test(
    `a validator that ${name} is left for another`,
    within(8_000, async () => {
      const nodes = new LogNodes()
      const holder = await nodes.holder()
      const [, liar] = nodes.validators
      assert.ok(liar)
      const endpoint = nodes.network.endpoint(liar)
      endpoint.onStream('log/tail', (_from, _body, stream) => serve((frame) => stream.send(frame)))
      const validators = [liar, holder.transport.self]
      const edge = await nodes.follower(EDGE, { validators })
      const result = await edge.ledger.append('transfer', payment(nodes, 'a'))
      assert.is(result.status, 'applied')
      assert.is(edge.ledger.fault, undefined)
      for (const node of [edge, holder, endpoint]) await node.close()
    }),
  )

test.run()
