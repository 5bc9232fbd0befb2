/** Peers that nobody can dial, reached through gateways that read nothing. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BYTES, readAll, SOON } from '../contract/transport-pair.ts'
import { codeOf } from '../support/error-code.ts'
import { type Book, emptyBook, type MeshPeer, meshPeer } from '../support/mesh.ts'
import { until } from '../support/until.ts'
import { within } from '../support/within.ts'

const QUICK = { gatewayRetryMs: 50 }

type Swarm = {
  readonly book: Book
  readonly gates: readonly MeshPeer[]
  readonly hidden: MeshPeer
  readonly far: MeshPeer
}

/** Three possible gateways, one peer behind NAT and one that wants something of it. */
async function swarm(options: Parameters<typeof meshPeer>[2] = {}): Promise<Swarm> {
  const book = emptyBook()
  const gates = await Promise.all([11, 12, 13].map((seed) => meshPeer(seed, book, options)))
  const gateways = () => gates.map(({ self }) => self)
  const hidden = await meshPeer(21, book, { ...options, listen: null, behindNat: true, gateways, limits: QUICK })
  const far = await meshPeer(31, book, options)
  await until(() => hidden.gateways().length === 2)
  announce(book, hidden)
  return { book, gates, hidden, far }
}

function announce(book: Book, hidden: MeshPeer): void {
  book.addresses.set(
    hidden.self,
    hidden.gateways().map((gateway) => ({ kind: 'relay', gateway })),
  )
}

async function closeAll({ gates, hidden, far }: Swarm): Promise<void> {
  await Promise.all([...gates, hidden, far].map((peer) => peer.close()))
}

test(
  'a peer that only dials is asked, and streams, through a gateway',
  within(5_000, async () => {
    const swarming = await swarm()
    const { hidden, far } = swarming
    hidden.onMessage('echo', async (from, body) => {
      assert.is(from, far.self)
      return body
    })
    hidden.onStream('double', async (_from, body, stream) => {
      for await (const frame of stream) await stream.send(Uint8Array.of(...body, (frame[0] ?? 0) * 2))
    })
    assert.equal(await far.request(hidden.self, 'echo', BYTES, SOON), BYTES)
    const stream = await far.openStream(hidden.self, 'double', Uint8Array.of(7), SOON)
    const reading = readAll(stream)
    for (let value = 0; value < 100; value += 1) await stream.send(Uint8Array.of(value))
    stream.end()
    assert.equal(
      await reading,
      Array.from({ length: 100 }, (_, value) => Uint8Array.of(7, value * 2)),
    )
    const [link] = far.links().filter(({ peer }) => peer === hidden.self)
    assert.is(link?.via?.kind, 'relay')
    await closeAll(swarming)
  }),
)

test(
  'a gateway itself asks the peer on the link that the peer made',
  within(5_000, async () => {
    const swarming = await swarm()
    const { hidden, gates, book } = swarming
    hidden.onMessage('echo', async (_from, body) => body)
    book.addresses.delete(hidden.self)
    const gate = gates.find(({ self }) => hidden.gateways().includes(self))
    assert.equal(await gate?.request(hidden.self, 'echo', BYTES, SOON), BYTES)
    await closeAll(swarming)
  }),
)

test(
  'when a gateway goes, the peer finds another one and stays reachable',
  within(8_000, async () => {
    const swarming = await swarm()
    const { hidden, far, gates, book } = swarming
    hidden.onMessage('echo', async (_from, body) => body)
    let changes = 0
    hidden.onGateways(() => {
      changes += 1
    })
    const [first] = hidden.gateways()
    assert.equal(await far.request(hidden.self, 'echo', BYTES, SOON), BYTES)
    await gates.find(({ self }) => self === first)?.close()
    assert.ok(first)
    await until(() => hidden.gateways().length === 2 && !hidden.gateways().includes(first))
    assert.ok(changes >= 2)
    announce(book, hidden)
    await until(async () => (await codeOf(far.request(hidden.self, 'echo', BYTES, SOON))) === 'resolved')
    await closeAll(swarming)
  }),
)

test(
  'a gateway relays to nobody without a link, and for no stranger',
  within(5_000, async () => {
    const swarming = await swarm()
    const { hidden, far, gates, book } = swarming
    const [gate] = gates
    assert.ok(gate)
    book.addresses.set(swarming.gates[1]?.self ?? far.self, [{ kind: 'relay', gateway: gate.self }])
    assert.is(await codeOf(far.request(gates[1]?.self ?? far.self, 'echo', BYTES, SOON)), 'CF_MESH_REFUSED')
    assert.equal(gate.rejects, [])
    book.strangers.add(far.self)
    assert.is(await codeOf(far.request(hidden.self, 'echo', BYTES, SOON)), 'CF_MESH_REFUSED')
    await closeAll(swarming)
  }),
)

test(
  'in a private swarm gateways and what they relay prove the key too',
  within(5_000, async () => {
    const swarmKey = new Uint8Array(32).fill(5)
    const swarming = await swarm({ swarmKey })
    const { hidden, far } = swarming
    hidden.onMessage('echo', async (_from, body) => body)
    assert.equal(await far.request(hidden.self, 'echo', BYTES, SOON), BYTES)
    await closeAll(swarming)
  }),
)

test.run()
