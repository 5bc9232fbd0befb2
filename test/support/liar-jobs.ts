/** Jobs of three replicas among honest daemons and lying ones, under the table that the project ships: how they end, and who earns what. */
import { availableParallelism, cpus, loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { sealAs } from '../../core/identity/envelope.ts'
import { parseSwarmId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import { CHOSEN_NONE } from '../../core/ledger/settlement.ts'
import { LIMITS } from '../../core/limits.ts'
import { type ReceiptFacts, verifyReceiptFile } from '../../core/receipt/verify.ts'
import { policyTableCodec } from '../../core/verification/policy-table.ts'
import { readPolicyFile } from '../../node/calibration/policy-file.ts'
import { listAt, member, textAt } from '../../node/commands/json.ts'
import { seededRandom } from './seeded-random.ts'
import { type SpawnedSwarm, type SwarmNode, withSwarm } from './spawned-swarm.ts'
import { allReady, auditOf, eventually, sameBooks } from './swarm-asks.ts'

export type LiarPlan = {
  readonly nodes: number
  /** Lies by place, of lying-node.ts. */
  readonly liars: Readonly<Record<number, string>>
  /** Places of honest nodes; each asks for two jobs at a time. */
  readonly edges: readonly number[]
  readonly jobs: number
  readonly seed: number
  /** Begins no further job after so long. */
  readonly playMs: number
  /** Called as jobs end. */
  readonly onEnd?: (count: number) => void
}
export type Earned = {
  readonly kind: string
  readonly place: number
  readonly outputs: number
  readonly failed: number
  /** Chosen as the answer although two others agreed on another one. */
  readonly believed: number
  /** Credits, since before the first job. */
  readonly earned: number
  /** Disputes that referees upheld against it. */
  readonly slashes: number
}
export type LiarReport = {
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
type Ended = {
  readonly edge: SwarmNode
  readonly outcome: string
  readonly assurance: string
  readonly facts: ReceiptFacts
}
type Disputed = { readonly worker: string | undefined; readonly outcome: string | null }
type Played = {
  readonly ended: readonly Ended[]
  readonly disputed: readonly Disputed[]
  /** Credits of each before the first job. */
  readonly before: ReadonlyMap<SwarmNode, number>
  /** How long the log is in the end. */
  readonly entries: string
}

const VALIDATORS = 4
const POLICY = { answerMs: 3_000, commitMs: 60_000, revealMs: 20_000, jobMs: 240_000 } as const
const TABLE = fileURLToPath(new URL('../../models/data/cfab-tiny-q8_0.policy', import.meta.url))
const TOPICS = ['a fox', 'the sea', 'two brothers', 'a clock', 'an old king', 'a lost key', 'rain', 'a small boat']
const REPLICAS = 3
const HONEST = 'honest'
const OPEN = 'open'
const READY_MS_MAX = 300_000
const JOB_MS_MAX = 300_000
const RULED_MS_MAX = 120_000
const BOOKS_MS_MAX = 120_000
const LOOK_PAUSE_MS = 1_000
const FUNDS = '10000'
const BONDS = '1000'
const MICRO = 1e6

/** @throws when a job has not ended in time, a receipt is not valid, or the books do not add up */
export async function playAmongLiars(plan: LiarPlan): Promise<LiarReport> {
  const startMs = performance.now()
  const { nodes: count, liars } = plan
  return withSwarm({ nodes: count, validators: VALIDATORS, policy: POLICY, liars }, async (swarm) => {
    for (let place = VALIDATORS; place < count; place += 1) await swarm.join(place)
    await eventually('all are ready', () => allReady(swarm.nodes), READY_MS_MAX)
    await publishTable(swarm)
    await fund(swarm, plan.edges)
    const before = await balancesOf(swarm)
    const ended = await playAll(swarm, plan)
    const honest = swarm.nodes.filter(({ place }) => liars[place] === undefined)
    const disputed = await ruledOn(ended)
    let entries = ''
    const isSame = async (): Promise<boolean> => {
      if (!(await sameBooks(honest))) return false
      ;({ entries } = await auditOf(swarm.founder))
      return true
    }
    await eventually('books are the same', () => isSame().catch(unlessLate), BOOKS_MS_MAX)
    return reportOf(swarm, plan, { ended, disputed, before, entries }, (performance.now() - startMs) / 1_000)
  })
}

/** An audit applies the whole log, and a validator that is busy with another one may not say in time how long the log is. */
function unlessLate(error: unknown): false {
  if (error instanceof Error && error.message.includes('CF_MESH_DEADLINE')) return false
  throw error
}

async function publishTable({ founder }: SpawnedSwarm): Promise<void> {
  const { table } = await readPolicyFile(TABLE)
  const none = parseSwarmId('0'.repeat(64))
  invariant(none !== undefined, 'zeros are an id')
  const file = sealAs(policyTableCodec, table, none, founder.key)
  await founder.json('/api/v1/verification/policies', { file: Buffer.from(file).toString('base64') })
}

/** Money for the jobs of each edge's user, and for the bonds of its disputes. */
async function fund({ founder, nodes }: SpawnedSwarm, edges: readonly number[]): Promise<void> {
  for (const place of edges) {
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

async function playAll(swarm: SpawnedSwarm, plan: LiarPlan): Promise<readonly Ended[]> {
  const { edges, jobs, seed, playMs, onEnd } = plan
  const endMs = performance.now() + playMs
  const random = seededRandom(seed)
  const ended: Ended[] = []
  let next = 0
  const client = async (place: number): Promise<void> => {
    while (next < jobs && performance.now() < endMs) {
      const turn = next++
      const wish = {
        ...{ model: 'cfab-tiny', replicas: REPLICAS, verify: 'before', temperature: turn % 2 === 0 ? 0.7 : 0 },
        max_tokens: 64 + random.below(65),
        prompt: `Tell me about ${TOPICS[random.below(TOPICS.length)]}, part ${turn}.`,
      }
      ended.push(await play(swarm, swarm.node(place), wish))
      onEnd?.(ended.length)
    }
  }
  await Promise.all([...edges, ...edges].map(client))
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

async function balancesOf({ founder, nodes }: SpawnedSwarm): Promise<Played['before']> {
  const balances = new Map<SwarmNode, number>()
  for (const node of nodes) balances.set(node, creditsIn(await founder.json(accountPath(node))))
  return balances
}

const accountPath = ({ peer }: SwarmNode): string => `/api/v1/credits/accounts/node/${peer}`

function creditsIn(account: unknown): number {
  return Number(textAt(account, 'balance', 'spendable')) + Number(textAt(account, 'balance', 'held'))
}

async function reportOf(
  swarm: SpawnedSwarm,
  { seed, liars }: LiarPlan,
  played: Played,
  seconds: number,
): Promise<LiarReport> {
  const { ended, disputed, entries } = played
  const outcomes = countOf(
    ended.map(({ outcome, assurance }) => (outcome === 'verified' ? `verified (${assurance})` : outcome)),
  )
  const disputes = countOf(disputed.map(({ outcome }) => outcome ?? OPEN))
  const workers = await Promise.all(swarm.nodes.map((node) => earnedBy(swarm, node, kindOf(liars, node), played)))
  const mean = meanOf(workers.filter(({ kind, outputs }) => kind === HONEST && outputs > 0).map(({ earned }) => earned))
  const rich = workers.filter(({ kind, failed, earned }) => kind !== HONEST && failed > 0 && earned >= mean)
  const open = dueIn(ended) - disputed.filter(({ outcome }) => outcome !== null).length
  const failedHonest = workers.filter(({ kind, failed }) => kind === HONEST && failed > 0)
  const believed = workers.filter((one) => one.believed > 0)
  const unfinished = Object.keys(outcomes).filter((name) => !/^(verified|rejected|refunded)/.test(name))
  return {
    ...{ bench: 'liars', seed, jobs: ended.length, outcomes, workers, disputes },
    wrong: [
      ...failedHonest.map(({ place, failed }) => `honest worker ${place} failed ${failed} times`),
      ...believed.map((one) => `worker ${one.place} (${one.kind}) was believed ${one.believed} times`),
      ...rich.map(
        (one) => `worker ${one.place} (${one.kind}) earned ${one.earned}, honest ones ${mean.toFixed(2)} on average`,
      ),
      ...(open > 0 ? [`${open} failed outputs are not ruled on`] : []),
      ...unfinished.map((name) => `${outcomes[name]} jobs ended ${name}`),
    ],
    ...{ books: { zeroSum: true, entries }, seconds: Math.round(seconds) },
    machine: { cpu: cpus()[0]?.model ?? 'unknown', cores: availableParallelism(), load: loadavg()[0] },
  }
}

async function earnedBy(
  { founder }: SpawnedSwarm,
  node: SwarmNode,
  kind: string,
  { ended, before, disputed }: Played,
): Promise<Earned> {
  const own = ended.flatMap(({ facts }) =>
    facts.findings.filter(({ worker }) => worker === node.peer).map((finding) => ({ finding, facts })),
  )
  const account = await founder.json(accountPath(node))
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
    ...{ kind, place: node.place, outputs: own.length },
    failed: own.filter(({ finding }) => finding.verdict === 'fail').length,
    believed: believed.length,
    earned: Math.round((creditsIn(account) - (before.get(node) ?? 0)) * MICRO) / MICRO,
    slashes: disputed.filter(({ worker, outcome }) => worker === node.peer && outcome === 'upheld').length,
  }
}

const kindOf = (liars: LiarPlan['liars'], { place }: SwarmNode): string => liars[place]?.split(':')[0] ?? HONEST
const meanOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length

/** @returns how many outputs that auditors failed their edges may dispute: an opener has so many disputes of one job */
function dueIn(ended: readonly Ended[]): number {
  const failedIn = ({ facts }: Ended): number => facts.findings.filter(({ verdict }) => verdict === 'fail').length
  return ended.reduce((sum, one) => sum + Math.min(failedIn(one), LIMITS.disputesPerOpenerMax), 0)
}

/** Every edge disputes what auditors have failed. @returns all disputes, once as many are closed or the time is over */
async function ruledOn(ended: readonly Ended[]): Promise<readonly Disputed[]> {
  const due = dueIn(ended)
  const endMs = performance.now() + RULED_MS_MAX
  for (;;) {
    const disputed = await disputesIn(ended)
    const isDone = disputed.length >= due && disputed.every(({ outcome }) => outcome !== null)
    if (isDone || performance.now() > endMs) return disputed
    await sleep(LOOK_PAUSE_MS)
  }
}

async function disputesIn(ended: readonly Ended[]): Promise<readonly Disputed[]> {
  const disputed: Disputed[] = []
  for (const { edge, facts } of ended) {
    const job = await edge.json(`/api/v1/p2p/jobs/${facts.jobId}`)
    for (const dispute of listAt(job, 'disputes')) {
      const accused = facts.findings.find(({ replica }) => replica === member(dispute, 'replica'))
      const outcome = member(dispute, 'outcome')
      disputed.push({ worker: accused?.worker, outcome: typeof outcome === 'string' ? outcome : null })
    }
  }
  return disputed
}

function countOf(names: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const name of names) counts[name] = (counts[name] ?? 0) + 1
  return counts
}
