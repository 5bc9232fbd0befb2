/** Real daemons of one swarm that audits nothing: what a worker got paid for is disputed before referees, rightly and wrongly. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { sealAs } from '../../core/identity/envelope.ts'
import { parseDigest, parseSwarmId } from '../../core/ids.ts'
import { ANY_CLASS, type PolicyTable, policyTableCodec } from '../../core/verification/policy-table.ts'
import { CFAB_TINY } from '../../models/catalogue.ts'
import { listAt, textAt } from '../../node/commands/json.ts'
import { missing } from '../support/missing.ts'
import { type SpawnedSwarm, type SwarmNode, withSwarm } from '../support/spawned-swarm.ts'
import { allReady, eventually, MODEL, sameBooks } from '../support/swarm-asks.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 180_000
const NODES = 7
const LIAR = 6
const POLICY = { answerMs: 1_500, commitMs: 15_000, revealMs: 5_000, jobMs: 60_000, auditPermille: 0 } as const
const TRIES_MAX = 30
const LENGTHS = 4
/** Of this test: engines on one machine differ by nothing at all, and another token loses tenths of a nat. */
const ROW = {
  ...{ prover: ANY_CLASS, verifier: ANY_CLASS, honestAudits: 150, honestTokens: 9_600 },
  ...{ suspectMicro: Array(LENGTHS).fill(20_000), failMicro: Array(LENGTHS).fill(40_000), worstMicro: 200_000 },
}
const TABLE: PolicyTable = {
  model: parseDigest(CFAB_TINY.digest) ?? missing('a digest'),
  engine: 'test',
  rows: [0, 1, 2].map((temperature) => ({ ...ROW, temperature })),
}

type Paid = { readonly id: string; readonly worker: string; readonly edge: SwarmNode }

async function publishTable({ founder }: SpawnedSwarm): Promise<void> {
  const file = sealAs(policyTableCodec, TABLE, parseSwarmId('0'.repeat(64)) ?? missing('zeros are an id'), founder.key)
  await founder.json('/api/v1/verification/policies', { file: Buffer.from(file).toString('base64') })
}

async function paid(edge: SwarmNode, turn: number): Promise<Paid> {
  const prompt = `Tell me about a fox, part ${turn}.`
  const wish = { model: MODEL, max_tokens: 64, temperature: 0.7, prompt }
  const id = textAt(await edge.json('/api/v1/p2p/intents', wish), 'job_id')
  const read = () => edge.json(`/api/v1/p2p/jobs/${id}`)
  await eventually('the job settles', async () => textAt(await read(), 'phase') === 'settled')
  const job = await read()
  assert.equal([textAt(job, 'outcome'), textAt(job, 'assurance')], ['unaudited', 'unaudited'])
  return { id, edge, worker: textAt(listAt(job, 'replicas')[0], 'worker') }
}

/** Jobs until there is one by this worker, and one by an honest one. */
async function both(swarm: SpawnedSwarm): Promise<{ readonly lie: Paid; readonly truth: Paid }> {
  const edge = swarm.node(4)
  let [lie, truth]: (Paid | undefined)[] = []
  for (let turn = 0; lie === undefined || truth === undefined; turn += 1) {
    assert.ok(turn < TRIES_MAX, 'the draw gives everybody work')
    const one = await paid(edge, turn)
    if (one.worker === swarm.node(LIAR).peer) lie ??= one
    else if (one.worker !== edge.peer) truth ??= one
  }
  return { lie, truth }
}

async function disputed({ id, edge }: Paid): Promise<string> {
  await edge.json(`/api/v1/p2p/jobs/${id}/disputes`, { replica: 0, claim: 'reject' })
  const outcome = async () => textAt(listAt(await edge.json(`/api/v1/p2p/jobs/${id}`), 'disputes')[0], 'outcome')
  await eventually('referees rule', async () => (await outcome()) !== '-')
  return outcome()
}

async function balance(node: SwarmNode, type: string, id: string): Promise<number> {
  return Number(textAt(await node.json(`/api/v1/credits/accounts/${type}/${id}`), 'balance', 'spendable'))
}

test(
  'a lie that nobody audited is overturned by referees and its worker slashed; whoever disputes the truth loses the bond',
  within(LIMIT_MS, () =>
    withSwarm({ nodes: NODES, validators: 4, policy: POLICY, liars: { [LIAR]: 'edit' } }, async (swarm) => {
      for (const place of [4, 5, 6]) await swarm.join(place)
      await eventually('all are ready', () => allReady(swarm.nodes))
      await publishTable(swarm)
      const { lie, truth } = await both(swarm)
      const { edge } = lie
      const user = textAt(await edge.json('/api/v1/status'), 'user')
      const liar = await balance(edge, 'node', lie.worker)
      assert.ok(liar > 0, 'nobody looked, and it was paid')
      const had = await balance(edge, 'user', user)
      assert.is(await disputed(lie), 'upheld')
      await eventually('the slash arrives', async () => (await balance(edge, 'node', lie.worker)) < liar)
      const after = await balance(edge, 'user', user)
      assert.ok(after > had, 'the bond is back, and the price with it')
      assert.is(await disputed(truth), 'rejected')
      await eventually('the bond is lost', async () => (await balance(edge, 'user', user)) <= after - 1)
      assert.ok((await balance(edge, 'node', truth.worker)) > 0)
      await eventually('the books are the same', () => sameBooks(swarm.nodes))
    }),
  ),
)

test.run()
