/** Four daemons that validate over a region log on three etcd members: whoever dies, jobs go on and every copy of the ledger agrees. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { member, textAt } from '../../node/commands/json.ts'
import { startEtcd, withoutEtcd } from '../support/etcd.ts'
import { type SwarmNode, withSwarm } from '../support/spawned-swarm.ts'
import { allSee, chat } from '../support/swarm-asks.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 150_000
const POLL_MS = 100
const VALIDATORS = 4

async function until(what: () => Promise<boolean>, signal: AbortSignal): Promise<void> {
  while (!(await what())) {
    signal.throwIfAborted()
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

async function assertAnswers(node: SwarmNode): Promise<void> {
  const { text } = await chat(node, { maxTokens: 8 })
  assert.ok(text.length > 0)
}

/** How many entries a node has applied, and whether a replay of the whole log gives what it has. */
async function ledgerOf(node: SwarmNode): Promise<string> {
  const audit = await node.json('/api/v1/credits/audit')
  return `${textAt(audit, 'entries')} ${member(audit, 'replay_matches')} ${member(audit, 'zero_sum')}`
}

const skipped = withoutEtcd()
if (skipped !== undefined) console.log(`daemons over etcd: skipped, ${skipped}`)
else
  test(
    'with the region log on etcd no daemon and no etcd member is a single point of failure',
    within(LIMIT_MS, async (signal) => {
      const etcd = await startEtcd()
      const flags = ['--region-log', `etcd:${etcd.endpoints.join(',')}`]
      try {
        await withSwarm({ nodes: VALIDATORS, validators: VALIDATORS, log: 'etcd', flags }, async ({ nodes, node }) => {
          await until(() => allSee(nodes, 'alive'), signal)
          assert.match(textAt(await node(0).json('/api/v1/status'), 'log'), /^etcd:/)
          await assertAnswers(node(0))
          const leader = await etcd.leader()
          await leader.kill('SIGKILL')
          await assertAnswers(node(1))
          await node(0).kill('SIGKILL')
          await assertAnswers(node(2))
          await node(0).start()
          leader.start()
          await assertAnswers(node(3))
          await until(async () => new Set(await Promise.all(nodes.map(ledgerOf))).size === 1, signal)
          assert.match(await ledgerOf(node(0)), / true true$/)
        })
      } finally {
        await etcd.stop()
      }
    }),
  )
test.run()
