/** One of four validators lies, forges, repeats and floods: the others agree on one thing, prove what it did, and go on serving. */
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ByzantineValidator } from '../support/byzantine.ts'
import { type SpawnedSwarm, type SwarmNode, withSwarm } from '../support/spawned-swarm.ts'
import { allReady, allSee, eventually, peersOf, sameBooks, tryChat } from '../support/swarm-asks.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 180_000
const LIAR = 3
const HASTE = { answerMs: 1_000, commitMs: 8_000, revealMs: 2_000, jobMs: 12_000 } as const
const PROMPT = { maxTokens: 12 }
const ROUNDS = 2
const FLOOD_CALLS = 600
const FLOOD_BYTES = 20_000
const FLOODS = 4
const GROWTH_MIB_MAX = 128

function residentMib(node: SwarmNode): number {
  const status = readFileSync(`/proc/${node.pid()}/status`, 'utf8')
  return Number(/^VmRSS:\s+([0-9]+)/m.exec(status)?.[1]) / 1_024
}

function honestOf(swarm: SpawnedSwarm): readonly SwarmNode[] {
  return swarm.nodes.filter(({ place }) => place !== LIAR)
}

test(
  'a validator that votes twice, proposes what was not drawn, forges records and floods gets no second certificate and is found out',
  within(LIMIT_MS, () =>
    withSwarm({ nodes: 5, validators: 4, played: [LIAR], policy: HASTE }, async (swarm) => {
      const liar = await ByzantineValidator.start(swarm, LIAR)
      try {
        await swarm.join(4)
        const honest = honestOf(swarm)
        await eventually(
          'all are ready',
          async () => (await allReady(honest)) && (await allSee(honest, 'alive', [swarm.node(LIAR)])),
        )
        const outcomes: string[] = []
        for (let round = 0; round < ROUNDS; round += 1)
          for (const edge of honest) outcomes.push(await tryChat(edge, PROMPT))
        assert.ok(liar.proposalCount > 0, 'it was asked for votes')
        assert.ok(
          outcomes.some((outcome) => outcome === 'unaudited'),
          outcomes.join(),
        )
        await liar.proposeWrongly()
        for (const [subject, digests] of liar.heard) assert.is(digests.size, 1, `two votes on ${subject}`)
        await eventually('the liar is found out', async () => /equivocat/.test(await whyNot(swarm)))
        await liar.writeWrongly()
        await liar.gossipWrongly()
        const before = honest.map(residentMib)
        for (let flood = 0; flood < FLOODS; flood += 1) await liar.flood(FLOOD_CALLS, FLOOD_BYTES)
        for (const [place, node] of honest.entries())
          assert.ok(residentMib(node) - (before[place] ?? 0) < GROWTH_MIB_MAX, `${residentMib(node)} MiB`)
        console.log(JSON.stringify({ outcomes, ends: Object.fromEntries(liar.ends) }))
        await eventually('all are ready', () => allReady(honest))
        for (const edge of honest) served.push(await tryChat(edge, PROMPT))
        await eventually('the books are the same', () => sameBooks(honest))
      } finally {
        await liar.close()
      }
    }),
  ),
)

/** What the founder says of the liar: why it is not drawn any more. */
async function whyNot(swarm: SpawnedSwarm): Promise<string> {
  const seen = (await peersOf(swarm.founder)).find(({ id }) => id === swarm.node(LIAR).peer)
  return `${seen?.ineligible} ${/vote_equivocation/.exec(swarm.founder.log())?.[0]}`
}

test.run()
