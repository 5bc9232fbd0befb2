/**
 * A thousand jobs of three replicas among honest workers and one of each kind of liar, by the real roles: who is found, who is paid, and
 * what becomes of their money.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Digest, type JobId, nodeAccount, type PeerId, userAccount } from '../../core/ids.ts'
import { auditBooks } from '../../core/log/apply.ts'
import { ROLE } from '../../core/roster/roster.ts'
import { ANY_CLASS, type PolicyTable } from '../../core/verification/policy-table.ts'
import { NodeModel } from '../../node/jobs/model.ts'
import { FAKE_DIGEST, FAKE_LOAD, FakeBackend, type Fault } from '../support/fake-backend.ts'
import { FAKE_CHAT } from '../support/fake-models.ts'
import { EDGE } from '../support/job-run.ts'
import { heardBy, JobSwarm } from '../support/job-swarm.ts'
import { applied } from '../support/log-swarm.ts'
import { keyNamed, memberNamed } from '../support/people.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { within } from '../support/within.ts'

const JOBS = 1_000
const AT_ONCE = 12
/** Every liar works honestly for so many answers, and has something to lose by then. */
const HONEST_FIRST = 6
const ENDS_MS = 300_000
/** The last disputes are ruled on within this, or the test says what is left. */
const RULED_MS = 20_000
const LOOK_MS = 100
/** So long nothing new is disputed. */
const QUIET_MS = 1_000

const TABLE: PolicyTable = {
  model: FAKE_DIGEST as Digest,
  engine: 'fake',
  rows: [
    {
      ...{ prover: ANY_CLASS, verifier: ANY_CLASS, temperature: 1, honestAudits: 3_000, honestTokens: 300_000 },
      ...{ suspectMicro: [9, 9, 9, 9], failMicro: [10, 10, 10, 10], worstMicro: 100_000 },
    },
  ],
}

const random = seededRandom(testSeed())
type Edit = (ids: readonly number[]) => readonly number[]
const STOP = 1

const KINDS: Readonly<Record<string, Fault['edit'] | 'honest'>> = {
  w0: ((ids) => ids.with(ids.length >> 1, (ids[ids.length >> 1] ?? 0) + 1)) satisfies Edit,
  w1: ((ids) => ids.map((id) => (id === STOP ? id : 2 + random.below(200)))) satisfies Edit,
  w2: ((ids) => [...ids.slice(0, ids.length >> 1), STOP]) satisfies Edit,
  // Two that agree with each other and not with the model.
  w3: ((ids) => ids.with(0, 90)) satisfies Edit,
  w4: ((ids) => ids.with(0, 90)) satisfies Edit,
  w5: 'honest',
  w6: 'honest',
  w7: 'honest',
  j0: 'honest',
  j1: 'honest',
  j2: 'honest',
  j3: 'honest',
}
const MEMBERS = [
  ...Object.keys(KINDS).map((name, block) => memberNamed(name, { block })),
  ...[0, 1, 2, 3].map((place) => memberNamed(`v${place}`, { block: 100 + place, roles: ROLE.validator })),
  memberNamed('edge', { block: 200, roles: ROLE.edge }),
]

async function start(): Promise<JobSwarm> {
  const model = async (peer: PeerId): Promise<NodeModel> => {
    const kind = Object.entries(KINDS).find(([name]) => peerOf(name) === peer)?.[1]
    const faultOf = (_: unknown, index: number): Fault | undefined =>
      typeof kind === 'function' && index >= HONEST_FIRST ? { edit: kind } : undefined
    const one = new NodeModel(FAKE_CHAT, new FakeBackend({ faultOf }), 16)
    await one.load(FAKE_LOAD)
    return one
  }
  const policy = { answerMs: 5_000, commitMs: 20_000, revealMs: 10_000, jobMs: 60_000 }
  return JobSwarm.start({
    members: MEMBERS,
    model,
    table: TABLE,
    policy,
    disputesFailed: true,
    validatorsCompute: true,
  })
}

const peerOf = (name: string): PeerId => keyNamed(name).peer
const balanceOf = ({ log }: JobSwarm, name: string): bigint =>
  log.state.accounts.get(nodeAccount(peerOf(name)))?.balance ?? 0n

/** How the disputes about a worker's outputs ended, as the test prints it. */
function rulingsOn({ log }: JobSwarm, ids: readonly JobId[], name: string): string {
  const counts = new Map<string, number>()
  for (const { findings, disputes } of ids.map((id) => log.job(id)))
    for (const { worker, replica, reason } of findings) {
      if (worker !== peerOf(name) || reason !== 'audit_failed') continue
      const outcome = disputes.find((dispute) => dispute.replica === replica)?.outcome ?? 'not disputed'
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
    }
  return [...counts].map(([outcome, count]) => `${count} ${outcome}`).join(', ') || 'never failed'
}

test(
  'a thousand jobs among liars: each ends checked or refunded, no lie is called checked, liars lose and honest workers earn',
  within(ENDS_MS + 20_000, async () => {
    const swarm = await start()
    // The edge opens disputes by itself, and pays their bonds.
    applied(swarm.log.apply('mint', swarm.log.mint(userAccount(EDGE.peer), 1_000_000_000n, 'bonds')))
    const stop = new AbortController()
    const desk = swarm.newDesk().run(stop.signal)
    const peaks = new Map<string, bigint>()
    const ids: JobId[] = []
    const outcomes = new Map<string, number>()
    const one = async (nonce: number): Promise<void> => {
      const expiresMs = BigInt(swarm.clock.nowMs() + 60_000)
      const { id, feed } = await swarm.submit({ replicas: 3, verify: 'before', nonce: BigInt(nonce + 1), expiresMs })
      ids.push(id)
      const { outcome } = await heardBy(feed.listen(AbortSignal.timeout(ENDS_MS)))
      const name = outcome.reason === 'paid' ? outcome.assurance : 'refunded'
      outcomes.set(name, (outcomes.get(name) ?? 0) + 1)
      for (const worker of Object.keys(KINDS)) {
        const balance = balanceOf(swarm, worker)
        if (balance > (peaks.get(worker) ?? 0n)) peaks.set(worker, balance)
      }
    }
    let next = 0
    await Promise.all(
      Array.from({ length: AT_ONCE }, async () => {
        while (next < JOBS) await one(next++)
      }),
    )
    const openDisputes = () =>
      ids.flatMap((id) => swarm.log.state.jobs.get(id)?.disputes ?? []).filter(({ outcome }) => outcome === null)
    for (let [wait, quiet] = [0, 0]; wait < RULED_MS && quiet < QUIET_MS; wait += LOOK_MS) {
      await sleep(LOOK_MS)
      quiet = openDisputes().length > 0 ? 0 : quiet + LOOK_MS
    }
    stop.abort()
    await desk
    swarm.stop()
    assert.equal(swarm.bugs, [])
    console.log(JSON.stringify(Object.fromEntries(outcomes)))
    const { jobs } = swarm.log.state
    let lies = 0
    for (const id of ids) {
      const job = jobs.get(id)
      assert.is(job?.phase, 'settled')
      for (const { worker, verdict, methods } of job?.findings ?? []) {
        const isLiar = Object.entries(KINDS).some(([name, kind]) => peerOf(name) === worker && kind !== 'honest')
        if (!isLiar) assert.is.not(verdict, 'fail', 'an honest output was failed')
        if (verdict === 'fail') lies += 1
        if (verdict === 'fail') assert.ok((methods & 5) !== 0)
      }
    }
    assert.ok(lies > 20, `${lies} lies found`)
    for (const [name, kind] of Object.entries(KINDS)) {
      const [end, peak] = [balanceOf(swarm, name), peaks.get(name) ?? 0n]
      console.log(
        `${name} ${kind === 'honest' ? 'honest' : 'liar'}: peak ${peak}, end ${end}, ${rulingsOn(swarm, ids, name)}`,
      )
      if (kind === 'honest') assert.ok(end > 0n && end >= peak, `${name} earned ${end}, had ${peak}`)
      else assert.ok(end < peak, `${name} ended with ${end}, had ${peak}`)
    }
    const honest = Object.entries(KINDS).filter(([, kind]) => kind === 'honest')
    for (const [name, kind] of Object.entries(KINDS))
      if (kind !== 'honest')
        assert.ok(
          honest.every(([other]) => balanceOf(swarm, name) < balanceOf(swarm, other)),
          `${name} is richer`,
        )
    assert.is(auditBooks(swarm.log.state).total, 0n)
  }),
)

test.run()
