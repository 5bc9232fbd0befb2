/** Four validators on a network that loses packets, is slow, and falls apart: whoever has a quorum goes on, the rest waits, and it heals. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { startNetwork, withoutNamespaces } from '../support/netns.ts'
import { withSwarm } from '../support/spawned-swarm.ts'
import { allReady, allSee, chat, creditsOf, eventually, sameBooks, tryChat } from '../support/swarm-asks.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 240_000
const VALIDATORS = 4
const BAD_WEATHER = { lossPermille: 30, delayMs: 10 }
/** Short, so that a job that nobody can certify ends while the test waits. */
const HASTE = { answerMs: 1_000, commitMs: 12_000, revealMs: 2_000, jobMs: 16_000 } as const
const PROMPT = { maxTokens: 12 }

const reason = withoutNamespaces()
if (reason !== undefined) console.log(`skipped: ${reason}`)
const tests = reason === undefined ? test : test.skip

tests(
  'parted 3 and 1 the three go on, parted 2 and 2 jobs wait and are refunded, and both times everything heals',
  within(LIMIT_MS, async () => {
    const network = startNetwork(Array.from({ length: VALIDATORS }, () => false))
    const { machines } = network
    try {
      await withSwarm({ nodes: VALIDATORS, validators: VALIDATORS, machines, policy: HASTE }, async (swarm) => {
        const [a, b, c, d] = [swarm.node(0), swarm.node(1), swarm.node(2), swarm.node(3)]
        await eventually('all are ready', () => allReady(swarm.nodes))
        for (const place of machines.keys()) network.impair(place, BAD_WEATHER)

        network.partition([0, 1, 2], [3])
        await eventually('the one is out', () => allSee([a, b, c], 'dead', [d]))
        assert.is((await chat(b, PROMPT)).outcome !== 'refunded', true)
        assert.match(await tryChat(d, PROMPT), /^(CF_|refunded|pending)/)
        network.heal()
        await eventually('all see all', () => allSee(swarm.nodes, 'alive'))

        const before = await creditsOf(a)
        network.partition([0, 1], [2, 3])
        await eventually('each half has lost the other', () => halves([a, b], [c, d]))
        assert.match(await tryChat(a, PROMPT), /^(CF_|refunded|pending)/)
        await eventually('its credit is back', async () => (await creditsOf(a)).held === before.held)
        assert.equal(await creditsOf(a), before)
        network.heal()
        await eventually('all see all', () => allSee(swarm.nodes, 'alive'))
        await eventually('all are ready', () => allReady(swarm.nodes))
        assert.is((await chat(d, PROMPT)).outcome !== 'refunded', true)
        await eventually('the books are the same', () => sameBooks(swarm.nodes))
      })
    } finally {
      network.stop()
    }
  }),
)

type Nodes = Parameters<typeof allSee>[0]

async function halves(left: Nodes, right: Nodes): Promise<boolean> {
  return (await allSee(left, 'dead', right)) && (await allSee(right, 'dead', left))
}

test.run()
