/** Daemons on machines of their own: they see each other, work for each other, and reach a provider that nobody can dial. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startNetwork, type TestNetwork, withoutNamespaces } from '../support/netns.ts'
import { type SpawnedSwarm, type SwarmOptions, withSwarm } from '../support/spawned-swarm.ts'
import { allReady, allSee, chat, eventually, peersOf, workersOf } from '../support/swarm-asks.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 90_000
const SEEN_MS = 5_000
const JOBS_MAX = 24

const reason = withoutNamespaces()
if (reason !== undefined) console.log(`skipped: ${reason}`)
const tests = reason === undefined ? test : test.skip

async function withMachines(
  nats: readonly boolean[],
  options: Omit<SwarmOptions, 'machines' | 'nodes'>,
  work: (swarm: SpawnedSwarm, network: TestNetwork) => Promise<void>,
): Promise<void> {
  const network = startNetwork(nats)
  try {
    const { machines } = network
    await withSwarm({ ...options, machines, nodes: machines.length }, (swarm) => work(swarm, network))
  } finally {
    network.stop()
  }
}

tests(
  'three daemons on three machines see each other within 5 s, and a job of any of them is done by another',
  within(LIMIT_MS, () =>
    withMachines([false, false, false], { validators: 1 }, async (swarm) => {
      await Promise.all([swarm.join(1), swarm.join(2)])
      const startMs = performance.now()
      await eventually('all see all', () => allSee(swarm.nodes, 'alive'))
      const seenMs = performance.now() - startMs
      assert.ok(seenMs < SEEN_MS, `${seenMs} ms`)
      await eventually('all are ready', () => allReady(swarm.nodes, swarm.nodes.slice(1)))
      for (const edge of swarm.nodes) {
        const answer = await chat(edge, { maxTokens: 16 })
        const workers = await workersOf(edge, answer.jobId)
        assert.is(workers.length, 1)
        assert.not.ok(workers.includes(edge.peer), 'the edge did its own job')
      }
    }),
  ),
)

tests(
  'a provider behind a router that refuses what comes in is seen, works and is paid through its gateways',
  within(LIMIT_MS, () =>
    withMachines([false, false, true], { validators: 1 }, async (swarm) => {
      await Promise.all([swarm.join(1), swarm.join(2)])
      const hidden = swarm.node(2)
      await eventually('all see all', () => allSee(swarm.nodes, 'alive'))
      const addresses = async (): Promise<readonly string[]> =>
        (await peersOf(swarm.founder)).find(({ id }) => id === hidden.peer)?.addresses ?? []
      await eventually('it says where it is', async () => (await addresses()).length > 0)
      assert.ok(
        (await addresses()).every((address) => address.startsWith('relay:')),
        (await addresses()).join(),
      )
      await eventually('all are ready', () => allReady(swarm.nodes, swarm.nodes.slice(1)))
      let jobs = 0
      for (let worked = false; !worked; jobs += 1) {
        assert.ok(jobs < JOBS_MAX, 'no job came to it')
        const { jobId } = await chat(swarm.founder, { maxTokens: 24 })
        worked = (await workersOf(swarm.founder, jobId)).includes(hidden.peer)
      }
      const own = await chat(hidden, { maxTokens: 16 })
      assert.not.ok((await workersOf(hidden, own.jobId)).includes(hidden.peer))
    }),
  ),
)

test.run()
