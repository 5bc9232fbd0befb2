/** Rows 22 and 23, over every role of a swarm in one process: auditors that lie together, and one that never looks. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { openAs } from '../../core/identity/envelope.ts'
import { type Digest, nodeAccount, type PeerId, userAccount } from '../../core/ids.ts'
import { isBarred, standingOf } from '../../core/log/standing.ts'
import type { LoggedJob } from '../../core/log/state.ts'
import { ROLE } from '../../core/roster/roster.ts'
import {
  auditCodec,
  type Probe,
  probePositions,
  probesAgree,
  probesOf,
  stepsOf,
} from '../../core/verification/audit.ts'
import { ANY_CLASS, type PolicyTable } from '../../core/verification/policy-table.ts'
import type { AuditPosition, AuditRequest } from '../../models/backend.ts'
import { NodeModel } from '../../node/jobs/model.ts'
import { FAKE_DIGEST, FAKE_LOAD, FakeBackend, type FakeOptions } from '../support/fake-backend.ts'
import { FAKE_CHAT } from '../support/fake-models.ts'
import { closeHosts } from '../support/host.ts'
import { EDGE, expectAccepted } from '../support/job-run.ts'
import { heardBy, JobSwarm } from '../support/job-swarm.ts'
import { ALICE, applied } from '../support/log-swarm.ts'
import { missing } from '../support/missing.ts'
import { digestNamed, keyNamed, memberNamed } from '../support/people.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { within } from '../support/within.ts'
import { observe } from './support/catalogue.ts'
import { auditAll, jobsFor, machineWith, median, Q4, sayAll } from './support/models.ts'

const LIMIT_MS = 120_000
const JOBS_MAX = 600
const AT_ONCE = 8
const RICH = 1_000_000_000n
const WORKERS = ['w0', 'w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'w7', 'j0', 'j1', 'j2', 'j3']

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

/** How an auditor alters what it should have computed. */
type Twist = (honest: readonly AuditPosition[]) => readonly AuditPosition[]

class TwistedBackend extends FakeBackend {
  readonly #twist: Twist

  constructor(twist: Twist, options: Partial<FakeOptions> = {}) {
    super(options)
    this.#twist = twist
  }

  override async audit(request: AuditRequest, signal: AbortSignal): Promise<readonly AuditPosition[]> {
    return this.#twist(await super.audit(request, signal))
  }
}

function startWith(backendOf: (peer: PeerId) => FakeBackend): Promise<JobSwarm> {
  const model = async (peer: PeerId): Promise<NodeModel> => {
    const one = new NodeModel(FAKE_CHAT, backendOf(peer), 16)
    await one.load(FAKE_LOAD)
    return one
  }
  const members = [
    ...WORKERS.map((name, block) => memberNamed(name, { block })),
    ...[0, 1, 2, 3].map((place) => memberNamed(`v${place}`, { block: 100 + place, roles: ROLE.validator })),
    memberNamed('edge', { block: 200, roles: ROLE.edge }),
  ]
  const policy = { answerMs: 5_000, commitMs: 20_000, revealMs: 10_000, jobMs: 60_000 }
  return JobSwarm.start({ members, model, table: TABLE, policy })
}

async function jobThrough(swarm: JobSwarm, nonce: number): Promise<LoggedJob> {
  const expiresMs = BigInt(swarm.clock.nowMs() + 60_000)
  const { id, feed } = await swarm.submit({ replicas: 1, nonce: BigInt(nonce), expiresMs })
  await heardBy(feed.listen(AbortSignal.timeout(LIMIT_MS)))
  return swarm.log.job(id)
}

const marksOf = ({ log }: JobSwarm, peer: PeerId): number => standingOf(log.state, peer)?.outvoted ?? 0

/** Nothing looks wrong, and every gap between logits is what somebody said it is. */
function blind(gap: () => number): Twist {
  return (honest) =>
    honest.map(({ topIds }) => ({ margin: 0, rank: 0, topIds: [topIds[0] ?? 0, 1], topLogits: [20, 20 - gap()] }))
}

const test = suite('auditors')
test.after(closeHosts)

test(
  'row 22: two auditors that lie together make an output pass, and referees overturn it and mark them',
  within(LIMIT_MS, async () => {
    const plot = { liars: 0 }
    const together = blind(() => 7)
    const edit = (ids: readonly number[]): readonly number[] => ids.map((id, place) => (place === 1 ? id + 1 : id))
    const twist: Twist = (honest) => {
      if (plot.liars === 0) return honest
      plot.liars -= 1
      return together(honest)
    }
    const swarm = await startWith(() => new TwistedBackend(twist, { faultOf: () => ({ edit }) }))
    for (const account of [userAccount(ALICE.peer), nodeAccount(EDGE.peer)])
      applied(swarm.log.apply('mint', swarm.log.mint(account, RICH, `bonds of ${account}`)))
    let job: LoggedJob | undefined
    let [jobs, alone] = [0, 0]
    while (job?.findings[0]?.outvoted.length !== 1 && jobs < JOBS_MAX) {
      plot.liars = 2
      job = await jobThrough(swarm, ++jobs)
      if (job.findings[0]?.auditors.length === 1) alone += 1
    }
    plot.liars = 0
    const [finding = missing('a finding')] = job?.findings ?? []
    const { auditors, outvoted, worker } = finding
    const before = auditors.map((auditor) => marksOf(swarm, auditor))
    applied(swarm.log.apply('mint', swarm.log.mint(nodeAccount(worker), RICH, 'to be slashed')))
    await swarm.newDesk().open(job ?? missing(), 0, 'reject', ALICE)
    const stop = new AbortController()
    const running = swarm.newDesk().run(stop.signal)
    const disputeOf = () => swarm.log.job((job ?? missing()).id).disputes[0]
    while ((disputeOf()?.outcome ?? null) === null) await swarm.clock.sleep(10)
    stop.abort()
    await running
    swarm.stop()
    const marked = auditors.filter((auditor, place) => marksOf(swarm, auditor) > (before[place] ?? 0)).length
    observe(
      22,
      `two that show the same made-up logits outvote the third, who looked: ${finding.verdict}; so does one alone, in ${alone} of ${jobs} jobs. A dispute before seven others: ${disputeOf()?.outcome}, and ${marked} of the two are marked`,
    )
    assert.equal([finding.verdict, auditors.length, outvoted.length], ['pass', 2, 1])
    assert.is(disputeOf()?.outcome, 'upheld')
    assert.is(marked, 2)
    assert.equal(swarm.bugs, [])
  }),
)

test(
  'row 23: an auditor that never looks is outvoted by the panels that it sits in, until nobody asks it',
  within(LIMIT_MS, async () => {
    const taken = await guessesTaken()
    const random = seededRandom(testSeed())
    const lazy = keyNamed('w7').peer
    const guessing = blind(() => random.below(12_000) / 1_000)
    const swarm = await startWith((peer) => (peer === lazy ? new TwistedBackend(guessing) : new FakeBackend()))
    const jobs: LoggedJob[] = []
    const isOut = (): boolean => isBarred(standingOf(swarm.log.state, lazy) ?? missing('a standing'))
    while (!isOut() && jobs.length < JOBS_MAX) {
      const first = jobs.length + 1
      jobs.push(...(await Promise.all(Array.from({ length: AT_ONCE }, (_, place) => jobThrough(swarm, first + place)))))
    }
    swarm.stop()
    const reports = jobs.map(({ id }) => auditsOf(swarm, id))
    const mine = reports.filter((signers) => signers.includes(lazy))
    const compared = mine.filter((signers) => signers.length > 1).length
    const outvotes = jobs.filter(({ findings }) => findings[0]?.outvoted.includes(lazy)).length
    const others = WORKERS.map((name) => keyNamed(name).peer).filter(
      (peer) => peer !== lazy && marksOf(swarm, peer) > 0,
    )
    observe(
      23,
      `guesses from the usual gap agree with an honest report for ${taken.agreed} of ${taken.outputs} outputs; in a swarm of twelve, asked ${mine.length} times, ${compared} times beside others, it is outvoted ${outvotes} times and barred; ${others.length} honest ones are marked. In one audit of ten three are bound before any shows: what it does in the other nine nobody sees`,
    )
    assert.is(taken.agreed, 0)
    assert.ok(isOut(), `${outvotes} outvotes in ${jobs.length} jobs`)
    assert.is(outvotes, compared)
    assert.equal(others, [])
    for (const { findings } of jobs) assert.is(findings[0]?.verdict, 'pass')
    assert.equal(swarm.bugs, [])
  }),
)

function auditsOf(swarm: JobSwarm, id: LoggedJob['id']): readonly PeerId[] {
  const job = swarm.coordinator.job(id)
  const audits = job?.phase === 'settled' ? job.audits : []
  return audits.flatMap(({ reports }) =>
    reports.map((report) => expectAccepted(openAs(auditCodec, report, swarm.log.state.swarmId)).signer),
  )
}

/** Of a real model's outputs: the best that an auditor can say without looking is the usual gap, and the claimed token as the best. */
async function guessesTaken(): Promise<{ readonly agreed: number; readonly outputs: number }> {
  const real = await machineWith(Q4)
  const said = await sayAll(real, await jobsFor(real, 16))
  const audits = await auditAll(real, said)
  const gaps = audits.flatMap(({ positions }) =>
    positions.map(({ topLogits }) => (topLogits[0] ?? 0) - (topLogits[1] ?? 0)),
  )
  const usual = stepsOf(median(gaps))
  const agreed = said.filter(({ ids }, place) => {
    const at = probePositions(digestNamed(`beacon ${place}`), 0, ids.length)
    const honest = probesOf(audits[place]?.positions ?? [], at, ids)
    const guess: readonly Probe[] = at.map((position) => ({
      ...{ position, topId: ids[position] ?? 0, gap256: usual, claimedGap256: 0 },
    }))
    assert.ok(probesAgree(honest, honest))
    return probesAgree(honest, guess)
  })
  return { agreed: agreed.length, outputs: said.length }
}

test.run()
