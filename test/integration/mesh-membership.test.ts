/** Membership over TLS sessions on loopback: a crash is seen, a restart is seen, and nobody else is touched. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createMembership, type MeshMembership } from '../../node/mesh/membership.ts'
import type { SelfRecord } from '../../node/runtime/mesh.ts'
import { systemClock, systemRandom } from '../../node/runtime/system.ts'
import { type Book, emptyBook, type MeshPeer, meshPeer } from '../support/mesh.ts'
import { swarmNamed } from '../support/people.ts'
import { within } from '../support/within.ts'

const RECORD: SelfRecord = {
  addresses: [],
  region: 'eu',
  roles: 1,
  models: [],
  hardware: { device: 'cpu', memoryMiB: 1, threads: 1 },
  load: 0,
  slots: 1,
  factorPermille: 1_000,
  version: '1',
}

type Node = { readonly mesh: MeshPeer; readonly membership: MeshMembership }

async function start(seed: number, book: Book, running: Set<Node>): Promise<Node> {
  const mesh = await meshPeer(seed, book)
  const membership = createMembership(
    { swarmId: swarmNamed('mesh'), record: RECORD },
    {
      key: mesh.key,
      transport: mesh,
      clock: systemClock,
      random: systemRandom,
      admitted: () => true,
      misbehaved: (peer, reason) => mesh.penalise(peer, reason),
      onBug: (error) => mesh.bugs.push(error),
    },
  )
  const node = { mesh, membership }
  running.add(node)
  return node
}

async function crash(node: Node, running: Set<Node>): Promise<void> {
  running.delete(node)
  await node.membership.close()
  await node.mesh.close()
}

async function until(isSo: () => boolean, signal: AbortSignal): Promise<number> {
  const startMs = Date.now()
  while (!isSo()) await systemClock.sleep(20, signal)
  return Date.now() - startMs
}

test(
  'four peers see each other, see one of them crash, and see it back when it starts again on another port',
  within(40_000, async (signal) => {
    const [book, running] = [emptyBook(), new Set<Node>()]
    try {
      const nodes = await Promise.all([1, 2, 3, 4].map((seed) => start(seed, book, running)))
      const [first, second, , fourth] = nodes
      assert.ok(first !== undefined && second !== undefined && fourth !== undefined)
      for (const { membership } of nodes.slice(1)) await membership.join([first.mesh.self], signal)
      const everybody = () =>
        [...running].every(
          ({ membership }) => membership.sights().filter(({ state }) => state === 'alive').length === 4,
        )
      await until(everybody, signal)
      await crash(fourth, running)
      const seenAs = (state: string) => () =>
        [...running].every(
          ({ mesh, membership }) =>
            mesh.self === fourth.mesh.self || membership.sight(fourth.mesh.self)?.state === state,
        )
      await until(seenAs('dead'), signal)
      const again = await start(4, book, running)
      await again.membership.join([second.mesh.self], signal)
      await until(seenAs('alive'), signal)
      await until(everybody, signal)
      assert.ok([...running].every(({ mesh }) => mesh.bugs.length === 0))
      assert.ok([...running].every(({ mesh }) => mesh.rejects.every((reject) => reject !== 'graylisted')))
    } finally {
      await Promise.all([...running].map((node) => crash(node, running)))
    }
  }),
)

test.run()
