/** The region log between peers on real sockets: TLS, HTTP/2 streams, and a holder that goes away and comes back. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { userAccount } from '../../core/ids.ts'
import type { StateLedger } from '../../node/stores/ledger-core.ts'
import { LogNodes } from '../support/log-nodes.ts'
import { ALICE, BOB } from '../support/log-swarm.ts'
import { createMemoryStore } from '../support/memory-store.ts'
import { type Book, emptyBook, keyOfSeed, type MeshPeer, meshPeer } from '../support/mesh.ts'
import { within } from '../support/within.ts'

const [alice, bob] = [userAccount(ALICE.peer), userAccount(BOB.peer)]
const [HOLDER, FIRST, SECOND] = [1, 2, 3]

function payment(nodes: LogNodes, idempotencyKey: string): Uint8Array {
  return nodes.swarm.direct({ kind: 'transfer', from: alice, to: bob, amount: 1n, idempotencyKey }, ALICE)
}

/** Nodes whose next transport is the one that is given. */
function onSockets(nodes: LogNodes): { use(peer: MeshPeer): void } {
  let next: MeshPeer | undefined
  nodes.network = {
    endpoint() {
      if (next === undefined) throw new Error('no transport was made')
      return next
    },
  }
  const use = (peer: MeshPeer): void => {
    next = peer
  }
  return { use }
}

async function level(ledgers: readonly StateLedger[], signal: AbortSignal): Promise<void> {
  while (new Set(ledgers.map(({ state }) => state.head.hash)).size > 1) {
    signal.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

async function follower(nodes: LogNodes, book: Book, seed: number) {
  const mesh = await meshPeer(seed, book)
  onSockets(nodes).use(mesh)
  const node = await nodes.follower(mesh.key.peer, { validators: [keyOfSeed(HOLDER).peer] })
  return { ...node, mesh }
}

test(
  'followers on sockets append and catch up, also over a restart of the holder',
  within(20_000, async (signal) => {
    const nodes = new LogNodes()
    const book = emptyBook()
    const [log, store] = [nodes.memoryLog(), createMemoryStore()]
    onSockets(nodes).use(await meshPeer(HOLDER, book))
    const holder = await nodes.holder(log, store)
    const first = await follower(nodes, book, FIRST)
    const startMs = performance.now()
    const results = await Promise.all(
      Array.from({ length: 300 }, (_, place) => first.ledger.append('transfer', payment(nodes, `pay ${place}`))),
    )
    const appendMs = performance.now() - startMs
    assert.ok(results.every(({ status }) => status === 'applied'))
    const second = await follower(nodes, book, SECOND)
    await level([first.ledger, second.ledger, holder.ledger], signal)
    const catchMs = performance.now() - startMs - appendMs
    console.log(`300 appends in ${appendMs.toFixed(0)} ms, caught up with in ${catchMs.toFixed(0)} ms`)
    await holder.close()
    const waiting = first.ledger.append('transfer', payment(nodes, 'while it is away'))
    onSockets(nodes).use(await meshPeer(HOLDER, book))
    const again = await nodes.holder(log, store)
    assert.is((await waiting).status, 'applied')
    await level([first.ledger, second.ledger, again.ledger], signal)
    assert.equal([...first.mesh.bugs, ...second.mesh.bugs], [])
    for (const { close } of [first, second, again]) await close()
  }),
)

test.run()
