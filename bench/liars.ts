/**
 * `npm run bench:liars [-- --jobs 1000] [--seed N] [--save]`: liars among real daemons with the bundled model and the table that the
 * project ships. Every job has three replicas and is verified before it is delivered.
 *
 * Prints how the jobs ended, which lies were found, which were believed, and what everybody earned; exit status 1 when a job did not
 * end, an honest output failed, or the books do not add up.
 */
import { writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { sealAs } from '../core/identity/envelope.ts'
import { parseSwarmId } from '../core/ids.ts'
import { invariant } from '../core/invariant.ts'
import { CHOSEN_NONE } from '../core/ledger/settlement.ts'
import { type ReceiptFacts, verifyReceiptFile } from '../core/receipt/verify.ts'
import { policyTableCodec } from '../core/verification/policy-table.ts'
import { readPolicyFile } from '../node/calibration/policy-file.ts'
import { member, textAt } from '../node/commands/json.ts'
import { columns } from '../node/commands/print.ts'
import { seededRandom } from '../test/support/seeded-random.ts'
import { type SpawnedSwarm, type SwarmNode, withSwarm } from '../test/support/spawned-swarm.ts'
import { allReady, auditOf, eventually, sameBooks } from '../test/support/swarm-asks.ts'

const { values } = parseArgs({
  options: {
    jobs: { type: 'string', default: '1000' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
    save: { type: 'boolean', default: false },
  },
})

/** Each earns honestly first where it can, and has something to lose by then. */
const LIARS: Readonly<Record<number, string>> = {
  8: 'substitute',
  9: 'sibling',
  10: 'edit:10',
  11: 'garbage:10',
  12: 'truncate:10',
}
const NODES = 13
const VALIDATORS = 4
/** Honest ones that take jobs from clients; each asks two at a time. */
const EDGES = [0, 4, 5, 6]
const ASKING = [...EDGES, ...EDGES]
const POLICY = { answerMs: 3_000, commitMs: 60_000, revealMs: 20_000, jobMs: 240_000 } as const
const TABLE = fileURLToPath(new URL('../models/data/cfab-tiny-q8_0.policy', import.meta.url))
const RESULT = new URL('./results/liars.json', import.meta.url)
const TOPICS = ['a fox', 'the sea', 'two brothers', 'a clock', 'an old king', 'a lost key', 'rain', 'a small boat']
const REPLICAS = 3
const JOB_MS_MAX = 300_000
const RULED_MS_MAX = 120_000
const FUNDS = '10000'
const BONDS = '1000'

type Ended = {
  readonly edge: SwarmNode
  readonly outcome: string
  readonly assurance: string
  readonly facts: ReceiptFacts
}

async function main(): Promise<void> {
  const startMs = performance.now()
  await withSwarm({ nodes: NODES, validators: VALIDATORS, policy: POLICY, liars: LIARS }, async (swarm) => {
    for (let place = VALIDATORS; place < NODES; place += 1) await swarm.join(place)
    await eventually('all are ready', () => allReady(swarm.nodes), JOB_MS_MAX)
    await publishTable(swarm)
    await fund(swarm)
    const ended = await playAll(swarm)
    const honest = swarm.nodes.filter(({ place }) => LIARS[place] === undefined)
    await eventually('disputes are ruled on and books are the same', () => sameBooks(honest), RULED_MS_MAX)
    const report = await reportOf(swarm, ended, (performance.now() - startMs) / 1_000)
    show(report)
    if (values.save) writeFileSync(RESULT, `${JSON.stringify(report, null, 1)}\n`)
    if (report.wrong.length > 0) process.exitCode = 1
  })
}

async function publishTable({ founder }: SpawnedSwarm): Promise<void> {
  const { table } = await readPolicyFile(TABLE)
  const none = parseSwarmId('0'.repeat(64))
  invariant(none !== undefined, 'zeros are an id')
  const file = sealAs(policyTableCodec, table, none, founder.key)
  await founder.json('/api/v1/verification/policies', { file: Buffer.from(file).toString('base64') })
}

/** Money for the jobs of each edge's user, and for the bonds of its disputes. */
async function fund({ founder, nodes }: SpawnedSwarm): Promise<void> {
  for (const place of EDGES) {
    const edge = nodes[place]
    invariant(edge !== undefined, 'an edge is a node')
    const user = textAt(await edge.json('/api/v1/status'), 'user')
    for (const [type, id, amount] of [
      ['user', user, FUNDS],
      ['node', edge.peer, BONDS],
    ])
      await founder.json('/api/v1/credits/mint', { account_type: type, account_id: id, amount, reason: 'bench' })
  }
}

async function playAll(swarm: SpawnedSwarm): Promise<readonly Ended[]> {
  const random = seededRandom(Number(values.seed))
  const jobs = Number(values.jobs)
  const ended: Ended[] = []
  let next = 0
  const client = async (place: number): Promise<void> => {
    while (next < jobs) {
      const turn = next++
      const wish = {
        ...{ model: 'cfab-tiny', replicas: REPLICAS, verify: 'before', temperature: turn % 2 === 0 ? 0.7 : 0 },
        max_tokens: 64 + random.below(65),
        prompt: `Tell me about ${TOPICS[random.below(TOPICS.length)]}, part ${turn}.`,
      }
      ended.push(await play(swarm, swarm.node(place), wish))
      if (ended.length % 50 === 0) console.error(`${ended.length} of ${jobs} jobs, load ${loadavg()[0]?.toFixed(1)}`)
    }
  }
  await Promise.all(ASKING.map(client))
  return ended
}

/** @throws when the job has not ended in time, or its receipt is not valid */
async function play({ genesis }: SpawnedSwarm, edge: SwarmNode, wish: object): Promise<Ended> {
  const id = textAt(await edge.json('/api/v1/p2p/intents', wish), 'job_id')
  const read = () => edge.json(`/api/v1/p2p/jobs/${id}`)
  await eventually('the job settles', async () => textAt(await read(), 'phase') === 'settled', JOB_MS_MAX)
  const job = await read()
  const reply = await fetch(`${edge.address()}/api/v1/p2p/receipts/${id}`)
  const verdict = verifyReceiptFile(new Uint8Array(await reply.arrayBuffer()), { roots: new Set([genesis.swarmId]) })
  if (verdict.status !== 'valid') throw new Error(`receipt of ${id}: ${JSON.stringify(verdict)}`)
  return { edge, outcome: textAt(job, 'outcome'), assurance: textAt(job, 'assurance'), facts: verdict.facts }
}

type Earned = {
  readonly kind: string
  readonly place: number
  readonly outputs: number
  readonly failed: number
  /** Chosen as the answer although two others agreed on another one. */
  readonly believed: number
  readonly credits: string
  readonly slashes: number
}
type Report = {
  readonly bench: 'liars'
  readonly seed: number
  readonly jobs: number
  readonly outcomes: Readonly<Record<string, number>>
  readonly workers: readonly Earned[]
  readonly disputes: Readonly<Record<string, number>>
  readonly wrong: readonly string[]
  readonly books: { readonly zeroSum: boolean; readonly entries: string }
  readonly seconds: number
  readonly machine: object
}

async function reportOf(swarm: SpawnedSwarm, ended: readonly Ended[], seconds: number): Promise<Report> {
  const outcomes: Record<string, number> = {}
  for (const { outcome, assurance } of ended) {
    const name = outcome === 'verified' ? `verified (${assurance})` : outcome
    outcomes[name] = (outcomes[name] ?? 0) + 1
  }
  const workers = await Promise.all(swarm.nodes.map((node) => earnedBy(swarm, node, ended)))
  const disputes = await disputesIn(ended)
  const failedHonest = workers.filter(({ kind, failed }) => kind === 'honest' && failed > 0)
  const believed = workers.filter((one) => one.believed > 0)
  const unfinished = Object.keys(outcomes).filter((name) => !/^(verified|rejected|refunded)/.test(name))
  const { entries } = await auditOf(swarm.founder)
  return {
    ...{ bench: 'liars', seed: Number(values.seed), jobs: ended.length, outcomes, workers, disputes },
    wrong: [
      ...failedHonest.map(({ place, failed }) => `honest worker ${place} failed ${failed} times`),
      ...believed.map((one) => `worker ${one.place} (${one.kind}) was believed ${one.believed} times`),
      ...unfinished.map((name) => `${outcomes[name]} jobs ended ${name}`),
    ],
    ...{ books: { zeroSum: true, entries }, seconds: Math.round(seconds) },
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), load: loadavg()[0] },
  }
}

async function earnedBy({ founder }: SpawnedSwarm, node: SwarmNode, ended: readonly Ended[]): Promise<Earned> {
  const own = ended.flatMap(({ facts }) =>
    facts.findings.filter(({ worker }) => worker === node.peer).map((finding) => ({ finding, facts })),
  )
  const account = await founder.json(`/api/v1/credits/accounts/node/${node.peer}`)
  // Honest replicas that agree are right here: all machines are one, and nobody but liars has another model.
  const isAgainst = ({ findings }: ReceiptFacts, root: string): boolean => {
    const others = findings.filter(({ tokensRoot, verdict }) => tokensRoot !== root && verdict === 'pass')
    return others.length === REPLICAS - 1 && new Set(others.map(({ tokensRoot }) => tokensRoot)).size === 1
  }
  const believed = own.filter(
    ({ finding, facts }) =>
      facts.settlement.chosen !== CHOSEN_NONE &&
      facts.settlement.chosen === finding.replica &&
      isAgainst(facts, finding.tokensRoot),
  )
  return {
    ...{ kind: LIARS[node.place]?.split(':')[0] ?? 'honest', place: node.place, outputs: own.length },
    failed: own.filter(({ finding }) => finding.verdict === 'fail').length,
    believed: believed.length,
    credits: textAt(account, 'balance', 'spendable'),
    slashes: listSlashes(account),
  }
}

function listSlashes(account: unknown): number {
  const recent = member(account, 'recent_transactions')
  return Array.isArray(recent) ? recent.filter((transaction) => textAt(transaction, 'op') === 'slash').length : 0
}

async function disputesIn(ended: readonly Ended[]): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const { edge, facts } of ended) {
    const job = await edge.json(`/api/v1/p2p/jobs/${facts.jobId}`)
    const disputes = member(job, 'disputes')
    for (const dispute of Array.isArray(disputes) ? disputes : []) {
      const outcome = textAt(dispute, 'outcome')
      counts[outcome] = (counts[outcome] ?? 0) + 1
    }
  }
  return counts
}

function show({ workers, outcomes, disputes, wrong, books, seconds, jobs, seed }: Report): void {
  console.log(`\n${jobs} jobs of ${REPLICAS} replicas, seed ${seed}, ${seconds} s`)
  console.log(columns(Object.entries(outcomes).map(([name, count]) => [name, String(count)])))
  const rows = workers.map((one) => [
    ...[one.kind, String(one.place), String(one.outputs), String(one.failed), String(one.believed)],
    ...[one.credits, String(one.slashes)],
  ])
  console.log(columns([['worker', 'node', 'outputs', 'failed', 'believed', 'credits', 'slashes'], ...rows]))
  console.log(`disputes ${JSON.stringify(disputes)}; books zero-sum ${books.zeroSum}, ${books.entries} entries`)
  for (const line of wrong) console.log(`WRONG: ${line}`)
}

await main()
