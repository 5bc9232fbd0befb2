/** Disputes between in-process daemons: auditors who lie together, frivolous openers, and a desk that is gone in the middle. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KeyPair } from '../../core/identity/keys.ts'
import { type Digest, type JobId, nodeAccount, type PeerId, userAccount } from '../../core/ids.ts'
import { LIMITS } from '../../core/limits.ts'
import { auditBooks } from '../../core/log/apply.ts'
import { type LoggedDispute, type LoggedJob, platformOf } from '../../core/log/state.ts'
import { ROLE } from '../../core/roster/roster.ts'
import { ANY_CLASS, type PolicyTable } from '../../core/verification/policy-table.ts'
import type { AuditPosition, AuditRequest } from '../../models/backend.ts'
import { NodeModel } from '../../node/jobs/model.ts'
import { codeOf } from '../support/error-code.ts'
import { FAKE_DIGEST, FAKE_LOAD, FakeBackend } from '../support/fake-backend.ts'
import { FAKE_CHAT } from '../support/fake-models.ts'
import { EDGE, JOINED, secretOf } from '../support/job-run.ts'
import { heardBy, JobSwarm, type JobSwarmOptions } from '../support/job-swarm.ts'
import { ALICE, applied } from '../support/log-swarm.ts'
import { missing } from '../support/missing.ts'
import { keyNamed, memberNamed } from '../support/people.ts'
import { within } from '../support/within.ts'

const LIMIT_MS = 20_000
const RICH = 1_000_000_000n

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

/** Twelve workers: one works, three audit, and seven are left to referee. */
const MEMBERS = [
  ...['w0', 'w1', 'w2', 'w3', 'w4', 'w5', 'w6', 'w7', ...JOINED].map((name, block) => memberNamed(name, { block })),
  ...[0, 1, 2, 3].map((place) => memberNamed(`v${place}`, { block: 100 + place, roles: ROLE.validator })),
  memberNamed('edge', { block: 200, roles: ROLE.edge }),
]

/** What the next auditors have agreed to find; those after them, and every referee, are honest. */
type Plot = { liars: number; readonly finds: 'nothing' | 'faults' }

class PlottingBackend extends FakeBackend {
  readonly #plot: Plot

  constructor(plot: Plot, options: ConstructorParameters<typeof FakeBackend>[0]) {
    super(options)
    this.#plot = plot
  }

  override async audit(request: AuditRequest, signal: AbortSignal): Promise<readonly AuditPosition[]> {
    const honest = await super.audit(request, signal)
    if (this.#plot.liars === 0) return honest
    this.#plot.liars -= 1
    const margin = this.#plot.finds === 'nothing' ? 0 : 2.5
    return honest.map((position) => ({ ...position, margin }))
  }
}

type Scene = { readonly swarm: JobSwarm; readonly id: JobId; readonly worker: KeyPair; readonly job: () => LoggedJob }

/** A settled job of one replica. @param cheats  its worker says something else than its model does */
async function settled(
  plot: Plot,
  cheats: boolean,
  { edgeIsPoor = false, ...options }: JobSwarmOptions & { readonly edgeIsPoor?: boolean } = {},
): Promise<Scene> {
  const edit = (ids: readonly number[]) => ids.map((id, place) => (place === 1 ? id + 1 : id))
  const faultOf = () => (cheats ? { edit } : undefined)
  const model = async () => {
    const one = new NodeModel(FAKE_CHAT, new PlottingBackend(plot, { faultOf }), 4)
    await one.load(FAKE_LOAD)
    return one
  }
  const policy = { answerMs: 2_000, jobMs: 60_000 }
  const swarm = await JobSwarm.start({ members: MEMBERS, model, table: TABLE, policy, ...options })
  const { id, feed } = await swarm.submit({ replicas: 1 })
  await heardBy(feed.listen(new AbortController().signal))
  const job = () => swarm.log.job(id)
  assert.is(job().findings.length, 1, `${job().settlement?.reason} ${swarm.bugs}`)
  const worker = secretOf(job().workers[0] ?? missing())
  swarm.log.nowMs = BigInt(swarm.clock.nowMs())
  applied(swarm.log.apply('mint', swarm.log.mint(nodeAccount(worker.peer), RICH, 'bond of the worker')))
  if (!edgeIsPoor) applied(swarm.log.apply('mint', swarm.log.mint(nodeAccount(EDGE.peer), RICH, 'bond of the edge')))
  applied(swarm.log.apply('mint', swarm.log.mint(userAccount(ALICE.peer), RICH, 'bond of the user')))
  applied(swarm.log.apply('mint', swarm.log.mint(platformOf(swarm.log.state), RICH, 'pays what was refused wrongly')))
  return { swarm, id, worker, job }
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5))
}

/** The dispute when it has ended. */
async function ended({ swarm, job }: Scene, place = 0): Promise<LoggedDispute> {
  const stop = new AbortController()
  const running = swarm.newDesk().run(stop.signal)
  await until(() => (job().disputes[place]?.outcome ?? null) !== null)
  stop.abort()
  await running
  return job().disputes[place] ?? missing()
}

function money({ swarm }: Scene, peer: PeerId): { readonly user: bigint; readonly node: bigint } {
  const of = (id: Parameters<typeof swarm.log.state.accounts.get>[0]): bigint => {
    const account = swarm.log.state.accounts.get(id)
    return account?.balance ?? 0n
  }
  return { user: of(userAccount(peer)), node: of(nodeAccount(peer)) }
}

function books({ swarm }: Scene): bigint {
  return auditBooks(swarm.log.state).total
}

test(
  'two of three auditors call a wrong output sound: the dispute of the user overturns it, and the worker is slashed',
  within(LIMIT_MS, async () => {
    const scene = await settled({ liars: 2, finds: 'nothing' }, true)
    const { swarm, worker, job, id } = scene
    assert.is(job().findings[0]?.verdict, 'pass')
    const before = { worker: money(scene, worker.peer).node, user: money(scene, ALICE.peer).user }
    const opened = await swarm.newDesk().open(job(), 0, 'reject', ALICE)
    assert.ok(opened.bond > 0n)
    assert.is(money(scene, ALICE.peer).user, before.user - opened.bond)
    const dispute = await ended(scene)
    assert.is(dispute.outcome, 'upheld')
    assert.ok(money(scene, worker.peer).node < before.worker, 'the worker is slashed')
    assert.ok(money(scene, ALICE.peer).user > before.user, 'the user has the bond and more')
    assert.is(job().id, id)
    assert.is(books(scene), 0n)
    assert.equal(swarm.bugs, [])
    swarm.stop()
  }),
)

test(
  'two of three auditors accuse an honest worker: its dispute overturns it, and it is paid',
  within(LIMIT_MS, async () => {
    const scene = await settled({ liars: 2, finds: 'faults' }, false)
    const { swarm, worker, job } = scene
    assert.is(job().findings[0]?.reason, 'audit_failed')
    const before = money(scene, worker.peer).node
    await swarm.newDesk().open(job(), 0, 'accept', worker)
    assert.is((await ended(scene)).outcome, 'upheld')
    assert.ok(money(scene, worker.peer).node > before, 'bond back, and the pay that it was refused')
    assert.is(books(scene), 0n)
    assert.equal(swarm.bugs, [])
    swarm.stop()
  }),
)

test(
  'who disputes an honest output for nothing loses the bond, half of it to the worker',
  within(LIMIT_MS, async () => {
    const scene = await settled({ liars: 0, finds: 'nothing' }, false)
    const { swarm, worker, job } = scene
    assert.is(job().findings[0]?.verdict, 'pass')
    const before = { worker: money(scene, worker.peer).node, user: money(scene, ALICE.peer).user }
    const { bond } = await swarm.newDesk().open(job(), 0, 'reject', ALICE)
    assert.is((await ended(scene)).outcome, 'rejected')
    assert.is(money(scene, ALICE.peer).user, before.user - bond)
    assert.is(money(scene, worker.peer).node, before.worker + bond / 2n)
    assert.is(await codeOf(swarm.newDesk().open(job(), 0, 'reject', ALICE)), 'CF_JOB_DISPUTE_REFUSED')
    assert.is(books(scene), 0n)
    swarm.stop()
  }),
)

test(
  'a worker that really cheated and disputes its own failure loses its bond',
  within(LIMIT_MS, async () => {
    const scene = await settled({ liars: 0, finds: 'nothing' }, true)
    const { swarm, worker, job } = scene
    assert.is(job().findings[0]?.reason, 'audit_failed')
    const before = money(scene, worker.peer).node
    const { bond } = await swarm.newDesk().open(job(), 0, 'accept', worker)
    assert.is((await ended(scene)).outcome, 'rejected')
    assert.is(money(scene, worker.peer).node, before - bond)
    swarm.stop()
  }),
)

test(
  'the edge disputes what auditors have failed by itself, once, and has its bond back',
  within(LIMIT_MS, async () => {
    const scene = await settled({ liars: 0, finds: 'nothing' }, true, { disputesFailed: true })
    const { swarm, worker, job } = scene
    const before = { worker: money(scene, worker.peer).node, edge: money(scene, EDGE.peer) }
    const dispute = await ended(scene)
    assert.is(dispute.opener, EDGE.peer)
    assert.is(dispute.claim, 'reject')
    assert.is(dispute.outcome, 'upheld')
    assert.is(job().disputes.length, 1)
    assert.ok(money(scene, worker.peer).node < before.worker)
    assert.ok(money(scene, EDGE.peer).node >= before.edge.node)
    swarm.stop()
  }),
)

test(
  'an edge without credit for the bond lets the finding stand, says why once, and tries again when it has some',
  within(LIMIT_MS, async () => {
    const scene = await settled({ liars: 0, finds: 'nothing' }, true, { disputesFailed: true, edgeIsPoor: true })
    const { swarm, job } = scene
    const stop = new AbortController()
    const running = swarm.newDesk().run(stop.signal)
    await until(() => swarm.undisputed.length > 0)
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.equal([job().disputes.length, job().findings[0]?.reason], [0, 'audit_failed'])
    applied(swarm.log.apply('mint', swarm.log.mint(nodeAccount(EDGE.peer), RICH, 'bond of the edge')))
    swarm.skewMs += 60_000
    await until(() => (job().disputes[0]?.outcome ?? null) !== null)
    stop.abort()
    await running
    assert.is(job().disputes[0]?.outcome, 'upheld')
    assert.equal(swarm.undisputed, ['0 CF_LEDGER_INSUFFICIENT_CREDIT'])
    swarm.stop()
  }),
)

test(
  'an edge without credit of its own stakes that of its user for the user’s job',
  within(LIMIT_MS, async () => {
    const options = { disputesFailed: true, edgeIsPoor: true, edgeUser: ALICE }
    const scene = await settled({ liars: 0, finds: 'nothing' }, true, options)
    const { swarm, worker, job } = scene
    const before = { worker: money(scene, worker.peer).node, user: money(scene, ALICE.peer).user }
    const dispute = await ended(scene)
    assert.equal([dispute.opener, dispute.claim, dispute.outcome], [ALICE.peer, 'reject', 'upheld'])
    assert.equal(swarm.undisputed, [])
    assert.is(job().disputes.length, 1)
    assert.ok(money(scene, worker.peer).node < before.worker)
    assert.ok(money(scene, ALICE.peer).user >= before.user)
    swarm.stop()
  }),
)

test(
  'an edge that dies after the dispute was logged goes on with it when it is back',
  within(LIMIT_MS, async () => {
    const scene = await settled({ liars: 2, finds: 'nothing' }, true)
    const { swarm, job } = scene
    await swarm.newDesk().open(job(), 0, 'reject', ALICE)
    for (const afterMs of [0, 5, 15]) {
      const stop = new AbortController()
      const running = swarm.newDesk().run(stop.signal)
      await new Promise((resolve) => setTimeout(resolve, afterMs))
      stop.abort()
      await running
    }
    assert.is((await ended(scene)).outcome, 'upheld')
    assert.is(job().correctionCount, 1)
    assert.equal(swarm.bugs, [])
    swarm.stop()
  }),
)

test(
  'referees that are gone leave it undecided, and only after their time: the bond comes back',
  within(LIMIT_MS, async () => {
    const scene = await settled({ liars: 0, finds: 'nothing' }, false)
    const { swarm, job, worker } = scene
    const before = money(scene, ALICE.peer).user
    for (const { peer, roles } of MEMBERS) if (roles === ROLE.worker && peer !== worker.peer) await swarm.kill(peer)
    await swarm.newDesk().open(job(), 0, 'reject', ALICE)
    const stop = new AbortController()
    const running = swarm.newDesk().run(stop.signal)
    await new Promise((resolve) => setTimeout(resolve, 300))
    assert.is(job().disputes[0]?.outcome, null)
    swarm.skewMs += LIMITS.refereeMs + 1_000
    await until(() => job().disputes[0]?.outcome !== null)
    stop.abort()
    await running
    assert.is(job().disputes[0]?.outcome, 'inconclusive')
    assert.is(money(scene, ALICE.peer).user, before)
    swarm.stop()
  }),
)

test(
  'two referees who lie are outvoted, and the place is found where the first of them leaves what the model says',
  within(LIMIT_MS, async () => {
    const plot: Plot = { liars: 2, finds: 'nothing' }
    const scene = await settled(plot, true)
    const { swarm, job } = scene
    await swarm.newDesk().open(job(), 0, 'reject', ALICE)
    plot.liars = 2
    assert.is((await ended(scene)).outcome, 'upheld')
    await until(() => swarm.dissents.length > 0)
    const [{ result } = missing()] = swarm.dissents
    // The worker changed its second token.
    assert.equal(result, { found: 'position', position: 1, one: 8 * 256, other: 0 })
    swarm.stop()
  }),
)

test(
  'when the window has closed a dispute is refused by its code, and the edge forgets the words',
  within(LIMIT_MS, async () => {
    const scene = await settled({ liars: 0, finds: 'nothing' }, false)
    const { swarm, job, id } = scene
    const desk = swarm.newDesk()
    await desk.tick(new AbortController().signal)
    assert.ok(swarm.store.payload(id) !== undefined, 'kept while it may be disputed')
    swarm.skewMs += LIMITS.disputeWindowMs + 5_000
    assert.is(await codeOf(desk.open(job(), 0, 'reject', ALICE)), 'CF_JOB_DISPUTE_CLOSED')
    await desk.tick(new AbortController().signal)
    assert.is(swarm.store.payload(id), undefined)
    swarm.stop()
  }),
)

test(
  'nobody but a party may dispute, no replica that there is not, and nothing whose words the edge has lost',
  within(LIMIT_MS, async () => {
    const { swarm, job } = await settled({ liars: 0, finds: 'nothing' }, false)
    assert.is(await codeOf(swarm.newDesk().open(job(), 0, 'reject', keyNamed('stranger'))), 'CF_CONTROL_UNAUTHORIZED')
    assert.is(await codeOf(swarm.newDesk().open(job(), 2, 'reject', ALICE)), 'CF_JOB_DISPUTE_REFUSED')
    await swarm.store.commit([{ table: 'payload', id: job().id, bytes: new Uint8Array() }])
    assert.is(await codeOf(swarm.newDesk().open(job(), 0, 'reject', ALICE)), 'CF_JOB_DISPUTE_REFUSED')
    assert.equal(job().disputes, [])
    swarm.stop()
  }),
)

test.run()
