/** Four validators, each a daemon of its own: what goes on while some of them are away, and what is never lost. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { withSwarm } from '../support/spawned-swarm.ts'
import { allReady, allSee, chat, creditsOf, eventually, sameBooks, tryChat } from '../support/swarm-asks.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 180_000
const VALIDATORS = 4
/** Short, so that a job that nobody can certify ends while the test waits. */
const HASTE = { answerMs: 1_000, commitMs: 12_000, revealMs: 2_000, jobMs: 16_000 } as const
const REJOIN_MS = 5_000
const PROMPT = { maxTokens: 16 }

test(
  'with one of four validators killed every other node is served as before, and it is back within 5 s of its restart',
  within(LIMIT_MS, () =>
    withSwarm({ nodes: VALIDATORS, validators: VALIDATORS }, async (swarm) => {
      await eventually('all are ready', () => allReady(swarm.nodes))
      const [gone, ...rest] = [swarm.node(3), swarm.founder, swarm.node(1), swarm.node(2)]
      await gone.kill()
      for (const edge of rest) assert.not.match((await chat(edge, PROMPT)).outcome, 'refunded')
      await eventually('it is called dead', () => allSee(rest, 'dead', [gone]))
      for (const edge of rest) assert.not.match((await chat(edge, PROMPT)).outcome, 'refunded')
      await gone.start()
      const startMs = performance.now()
      await eventually('all see all', () => allSee(swarm.nodes, 'alive'))
      const backMs = performance.now() - startMs
      assert.ok(backMs < REJOIN_MS, `${backMs} ms`)
      await eventually('all are ready', () => allReady(swarm.nodes))
      assert.not.match((await chat(gone, PROMPT)).outcome, 'refunded')
      await eventually('the books are the same', () => sameBooks(swarm.nodes))
    }),
  ),
)

test(
  'with two of four validators down jobs wait and are refunded, and nothing is lost when the two are back',
  within(LIMIT_MS, () =>
    withSwarm({ nodes: VALIDATORS, validators: VALIDATORS, policy: HASTE }, async (swarm) => {
      await eventually('all are ready', () => allReady(swarm.nodes))
      const before = await creditsOf(swarm.founder)
      const down = [swarm.node(2), swarm.node(3)]
      await Promise.all(down.map((node) => node.kill()))
      const startMs = performance.now()
      assert.match(await tryChat(swarm.founder, PROMPT), /^(refunded|CF_)/)
      assert.ok(performance.now() - startMs > HASTE.jobMs / 2, 'it waited for a quorum')
      await eventually('nothing is held', async () => (await creditsOf(swarm.founder)).held === before.held)
      assert.equal(await creditsOf(swarm.founder), before)
      await Promise.all(down.map((node) => node.start()))
      await eventually('all are ready', () => allReady(swarm.nodes))
      for (const edge of swarm.nodes) assert.not.match((await chat(edge, PROMPT)).outcome, 'refunded')
      await eventually('the books are the same', () => sameBooks(swarm.nodes))
    }),
  ),
)

test(
  'the node that holds the log is killed and started again: the others wait for it and lose nothing',
  within(LIMIT_MS, () =>
    withSwarm({ nodes: VALIDATORS, validators: VALIDATORS, policy: HASTE }, async (swarm) => {
      await eventually('all are ready', () => allReady(swarm.nodes))
      const other = swarm.node(1)
      await chat(other, PROMPT)
      const asked = tryChat(other, { maxTokens: 64 })
      await swarm.founder.kill()
      await asked
      await swarm.founder.start()
      await eventually('all see all', () => allSee(swarm.nodes, 'alive'))
      await eventually('all are ready', () => allReady(swarm.nodes))
      assert.not.match((await chat(other, PROMPT)).outcome, 'refunded')
      await eventually('nothing is held', async () => (await creditsOf(other)).held === '0')
      await eventually('the books are the same', () => sameBooks(swarm.nodes))
    }),
  ),
)

test.run()
