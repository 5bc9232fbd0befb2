/** Membership over the in-process mesh with real signatures: joining, gossip of changes, leaving, crashes and what liars get. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { PeerId } from '../../core/ids.ts'
import { digestCodec, gossipCodec, helpCodec, syncCodec } from '../../core/membership/messages.ts'
import { sealWord } from '../../core/membership/word.ts'
import { LAST_SEQUENCE, type PeerRecord } from '../../core/roster/record.ts'
import { createMembership, type MeshMembership } from '../../node/mesh/membership.ts'
import { createMemoryNetwork, type MemoryNetwork } from '../../node/mesh/memory.ts'
import type { SelfRecord } from '../../node/runtime/mesh.ts'
import type { PeerTransport } from '../../node/runtime/ports.ts'
import { systemClock } from '../../node/runtime/system.ts'
import { keyNamed, swarmNamed } from '../support/people.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { within } from '../support/within.ts'

const SWARM = swarmNamed('membership')
const RECORD: SelfRecord = {
  addresses: ['127.0.0.1:7734'],
  region: 'eu',
  roles: 1,
  models: [],
  hardware: { device: 'cpu', memoryMiB: 1_024, threads: 2 },
  load: 0,
  slots: 1,
  factorPermille: 1_000,
  version: '1.0.0',
}
const random = seededRandom(testSeed())

type Node = {
  readonly key: KeyPair
  readonly transport: PeerTransport
  readonly membership: MeshMembership
  readonly blamed: (readonly [PeerId, string])[]
}
type Swarm = { readonly network: MemoryNetwork; readonly nodes: Node[]; readonly strangers: Set<PeerId> }

/** A test of a swarm that is stopped however the test ends. */
function trial(
  name: string,
  ms: number,
  dropPermille: number,
  work: (all: Swarm, signal: AbortSignal) => Promise<void>,
): void {
  const run = within(ms, async (signal) => {
    const all = swarm(dropPermille)
    try {
      await work(all, signal)
    } finally {
      await stop(all)
    }
  })
  test(name, run)
}

function swarm(dropPermille: number): Swarm {
  return {
    network: createMemoryNetwork({ dropPermille }, { clock: systemClock, random }),
    nodes: [],
    strangers: new Set(),
  }
}

function start({ network, nodes, strangers }: Swarm, name: string): Node {
  const key = keyNamed(name)
  const transport = network.endpoint(key.peer)
  const blamed: (readonly [PeerId, string])[] = []
  const membership = createMembership(
    { swarmId: SWARM, record: RECORD },
    {
      key,
      transport,
      clock: systemClock,
      random,
      admitted: (peer) => !strangers.has(peer),
      misbehaved: (peer, reason) => blamed.push([peer, reason]),
      onBug: (error) => {
        throw error
      },
    },
  )
  const node = { key, transport, membership, blamed }
  nodes.push(node)
  return node
}

async function stop({ nodes }: Swarm): Promise<void> {
  await Promise.all(nodes.map(({ membership }) => membership.close()))
  await Promise.all(nodes.map(({ transport }) => transport.close()))
}

async function until(isSo: () => boolean, signal: AbortSignal): Promise<void> {
  while (!isSo()) await systemClock.sleep(20, signal)
}

function counts({ membership }: Node): Record<string, number> {
  const found: Record<string, number> = {}
  for (const { state } of membership.sights()) found[state] = (found[state] ?? 0) + 1
  return found
}

trial('five nodes that join through one all see all within 5 s', 10_000, 0, async (all, signal) => {
  const first = start(all, 'a')
  const joining = ['b', 'c', 'd', 'e'].map((name) => start(all, name).membership.join([first.key.peer], signal))
  await Promise.all(joining)
  const startMs = Date.now()
  await until(() => all.nodes.every((node) => counts(node)['alive'] === 5), signal)
  assert.ok(Date.now() - startMs < 5_000)
  await until(
    () => all.nodes.every(({ membership }) => membership.sights().filter((s) => s.rttMs !== null).length > 0),
    signal,
  )
  const peers = first.membership.sights().map(({ peer }) => peer)
  assert.equal(peers, [...peers].sort())
})

trial('what a node announces reaches everybody, at most one record in 5 s', 15_000, 0, async (all, signal) => {
  const [a, b] = [start(all, 'a'), start(all, 'b')]
  await b.membership.join([a.key.peer], signal)
  const loads: number[] = []
  a.membership.onChange(({ peer, record }) => peer === b.key.peer && loads.push(record.load))
  for (let load = 1; load <= 8; load += 1) b.membership.announce({ ...RECORD, load })
  await until(() => loads.includes(8), signal)
  assert.equal(
    [...new Set(loads)].filter((load) => load > 0),
    [8],
  )
})

trial(
  'a node that leaves is gone at once; one that crashes is dead within 10 s and back as soon as it starts again',
  30_000,
  0,
  async (all, signal) => {
    const nodes = ['a', 'b', 'c', 'd'].map((name) => start(all, name))
    const [a, b, c, d] = nodes as [Node, Node, Node, Node]
    for (const node of [b, c, d]) await node.membership.join([a.key.peer], signal)
    await until(() => nodes.every((node) => counts(node)['alive'] === 4), signal)
    await c.membership.leave()
    await until(() => [a, b, d].every(({ membership }) => membership.sight(c.key.peer)?.state === 'left'), signal)
    assert.is(a.membership.sight(c.key.peer)?.record.sequence, LAST_SEQUENCE)
    await d.membership.close()
    await d.transport.close()
    const crashedMs = Date.now()
    await until(() => [a, b].every(({ membership }) => membership.sight(d.key.peer)?.state === 'dead'), signal)
    assert.ok(Date.now() - crashedMs < 10_000)
    const again = start(all, 'd')
    const startedMs = Date.now()
    await again.membership.join([b.key.peer], signal)
    await until(() => [a, b].every(({ membership }) => membership.sight(d.key.peer)?.state === 'alive'), signal)
    assert.ok(Date.now() - startedMs < 5_000)
  },
)

trial(
  'records of strangers, of other signers, from the future and from long ago are not kept, and who forges or is stale is blamed',
  10_000,
  0,
  async (all, signal) => {
    const a = start(all, 'a')
    const liar = keyNamed('liar')
    const endpoint = all.network.endpoint(liar.peer)
    all.strangers.add(keyNamed('stranger').peer)
    const now = BigInt(Date.now())
    const record = (incarnation: bigint): PeerRecord => ({ ...RECORD, incarnation, sequence: 0n })
    const words = [
      sealWord(record(now), SWARM, keyNamed('stranger')),
      { ...sealWord(record(now), SWARM, keyNamed('x')), peer: keyNamed('y').peer },
      { ...sealWord(record(now), SWARM, keyNamed('z')), incarnation: now + 1n },
      sealWord(record(now + 60_000n), SWARM, keyNamed('future')),
      sealWord(record(now - 3n * 3_600_000n), SWARM, keyNamed('past')),
      sealWord(record(now), swarmNamed('another'), keyNamed('foreign')),
    ]
    const body = gossipCodec.encode({ words, accusations: [] })
    await endpoint.request(a.key.peer, 'swim/ping', body, { deadlineMs: 2_000, signal })
    assert.equal(
      a.membership.sights().map(({ peer }) => peer),
      [a.key.peer],
    )
    assert.equal(
      a.blamed.map(([peer, reason]) => [peer === liar.peer, reason]),
      [
        [true, 'signature_invalid'],
        [true, 'malformed'],
        [true, 'stale_record'],
        [true, 'signature_invalid'],
      ],
    )
    const { strange, ahead, old } = a.membership.counts
    assert.equal([strange, ahead, old], [1, 1, 1])
    await endpoint.request(a.key.peer, 'swim/ping', Uint8Array.of(1, 2, 3), { deadlineMs: 2_000, signal }).then(
      () => assert.unreachable(),
      ({ code }) => assert.is(code, 'CF_MESH_REFUSED'),
    )
    assert.is(a.blamed.at(-1)?.[1], 'malformed')
    await endpoint.close()
  },
)

trial(
  'a node whose seed is not there yet goes on asking, and joins when it comes; losing a quarter of the messages changes nothing',
  20_000,
  250,
  async (all, signal) => {
    const early = start(all, 'early')
    const code = await early.membership.join([keyNamed('late').peer], signal).catch((error) => error.code)
    assert.is(code, 'CF_MESH_PEER_UNREACHABLE')
    start(all, 'late')
    await until(() => all.nodes.every((node) => counts(node)['alive'] === 2), signal)
  },
)

trial('damaged bytes at every message are refused, and change nothing', 30_000, 0, async (all, signal) => {
  const a = start(all, 'a')
  const endpoint = all.network.endpoint(keyNamed('b').peer)
  const record: PeerRecord = { ...RECORD, incarnation: BigInt(Date.now()), sequence: 0n }
  const gossip = { words: [sealWord(record, SWARM, keyNamed('c'))], accusations: [] }
  const bodies = [
    ['swim/ping', gossipCodec.encode(gossip)],
    ['swim/ping-req', helpCodec.encode({ target: keyNamed('c').peer, waitMs: 10, ...gossip })],
    ['swim/digest', digestCodec.encode({ digest: new Uint8Array(2_048) })],
    ['swim/sync', syncCodec.encode({ wanted: [], ...gossip })],
  ] as const
  for (let turn = 0; turn < 1_000; turn += 1) {
    const chosen = bodies[turn % bodies.length]
    assert.ok(chosen !== undefined)
    const [type, body] = chosen
    const damaged = body.slice(0, turn % 7 === 0 ? random.below(body.length) : body.length)
    if (damaged.length > 0) damaged[random.below(damaged.length)] = random.below(256)
    if (damaged.length === body.length && damaged.every((byte, place) => byte === body[place])) continue
    await endpoint.request(a.key.peer, type, damaged, { deadlineMs: 2_000, signal }).catch(({ code }) => {
      assert.is(code, 'CF_MESH_REFUSED')
    })
  }
  assert.equal(
    a.membership.sights().map(({ peer }) => peer),
    [a.key.peer],
  )
  await endpoint.close()
})

test.run()
