/** One of four validators lies, forges, repeats and floods: the others agree on one thing, prove what it did, and go on serving. */
import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ByzantinePeer } from '../support/byzantine.ts'
import { type SwarmNode, withSwarm } from '../support/spawned-swarm.ts'
import { allReady, allSee, eventually, sameBooks, tryChat } from '../support/swarm-asks.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 180_000
const LIAR = 3
const PEST = 5
const HASTE = { answerMs: 1_000, commitMs: 8_000, revealMs: 2_000, jobMs: 12_000 } as const
const PROMPT = { maxTokens: 12 }
const TRIES_MAX = 8
const FLOOD_CALLS = 600
const FLOOD_BYTES = 20_000
const FLOODS = 4
const GROWTH_MIB_MAX = 128

function residentMib(node: SwarmNode): number {
  const status = readFileSync(`/proc/${node.pid()}/status`, 'utf8')
  return Number(/^VmRSS:\s+([0-9]+)/m.exec(status)?.[1]) / 1_024
}

test(
  'one of four validators votes twice and proposes what was not drawn, of jobs that others drive, a member forges and floods: nothing is certified twice, and all go on',
  within(LIMIT_MS, () =>
    withSwarm({ nodes: 6, validators: 4, played: [LIAR], policy: HASTE }, async (swarm) => {
      const liar = await ByzantinePeer.start(swarm, LIAR)
      const pest = await ByzantinePeer.start(swarm, PEST, await swarm.invite({ for: swarm.node(PEST).peer }))
      try {
        await swarm.join(4)
        const honest = swarm.nodes.filter(({ place }) => place !== LIAR && place !== PEST)
        await eventually('the honest are ready', () => allReady(honest))
        await eventually('all see the liar', () => allSee(honest, 'alive', [swarm.node(LIAR)]))
        const outcomes = [await tryAll(honest)]
        assert.ok(liar.proposals.length > 0, 'it was asked for votes')
        await liar.writeWrongly()
        await liar.proposeWrongly()
        await pest.proposeWrongly(liar.proposals)
        liar.lies = true
        outcomes.push(await tryAll(honest))
        await liar.proposeWrongly()
        for (const one of [liar, pest]) {
          const voters = [...one.heard.keys()].filter((key) => !key.startsWith(swarm.node(LIAR).peer))
          assert.equal(voters, [], 'no honest validator votes on what it proposes of a job that is not its own')
          assert.is(one.answerCount, 0, 'nobody works for it')
        }
        const offers = [...liar.ends].filter(([end]) => end.startsWith('job/offer'))
        assert.ok(offers.length > 0 && offers.every(([end]) => end.startsWith('job/offer CF_MESH_REFUSED')), 'it asked')
        await eventually('the proof is in the log', async () => (await pest.logged('evidence')) > 0)
        assert.ok(
          honest.some(({ log }) => /vote_equivocation/.test(log())),
          'a daemon says so',
        )
        const before = honest.map(residentMib)
        await pest.writeWrongly()
        await pest.gossipWrongly()
        for (let flood = 0; flood < FLOODS; flood += 1) await pest.flood(FLOOD_CALLS, FLOOD_BYTES)
        const grown = honest.map((node, place) => Math.round(residentMib(node) - (before[place] ?? 0)))
        assert.ok(Math.max(...grown) < GROWTH_MIB_MAX, `grown by ${grown.join()} MiB`)
        await eventually('the honest are ready again', () => allReady(honest))
        for (
          let tries = 0;
          outcomes.at(-1)?.some((outcome) => PAID.includes(outcome)) !== true || tries === 0;
          tries += 1
        ) {
          assert.ok(tries < TRIES_MAX, 'nobody is served any more')
          outcomes.push(await tryAll(honest))
        }
        const ends = [liar, pest].map((peer) => Object.fromEntries(peer.ends))
        console.log(JSON.stringify({ outcomes, heard: liar.heard.size, grown, ends }))
        await eventually('the books are the same', () => sameBooks(honest))
      } finally {
        await Promise.all([liar.close(), pest.close()])
      }
    }),
  ),
)

/** Audited where the auditors that are drawn answer in time. */
const PAID = ['verified', 'unaudited']

/** A prompt to each. A job whose worker validates waits for the liar's vote too, and may end as a refund. */
async function tryAll(nodes: readonly SwarmNode[]): Promise<readonly string[]> {
  const outcomes = await Promise.all(nodes.map((node) => tryChat(node, PROMPT)))
  for (const outcome of outcomes) assert.match(outcome, /^(verified|unaudited|pending|refunded|CF_[A-Z_]+)$/)
  return outcomes
}

test.run()
