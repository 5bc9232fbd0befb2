/** The auditor's role: feed an output that was drawn for it to the model again, write down what it finds, commit to that, then show it. */
import { type BodyOf, bytesMax, defineBody } from '../../core/codec/schema.ts'
import { FabricError } from '../../core/errors.ts'
import { sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { Digest, JobId, PeerId } from '../../core/ids.ts'
import { invariant } from '../../core/invariant.ts'
import { type AuditOrder, auditAskCodec, auditShowCodec, judgeAuditAsk } from '../../core/job/audit-messages.ts'
import { policyOf } from '../../core/log/policies.ts'
import type { LogState } from '../../core/log/state.ts'
import {
  type AuditReport,
  type AuditStatistics,
  auditCodec,
  auditCommit,
  auditCommitCodec,
  probePositions,
  probesOf,
  statisticsOf,
} from '../../core/verification/audit.ts'
import { textDigest } from '../../core/verification/commitment.ts'
import { verdictOf } from '../../core/verification/policy-table.ts'
import type { Rosters } from '../runtime/mesh.ts'
import type { Clock, PeerTransport, Random, Store } from '../runtime/ports.ts'
import { claimSubject } from './claim.ts'
import { requestOf } from './compute.ts'
import { jobOfEdge } from './its-edge.ts'
import { rosterOfJob } from './job-roster.ts'
import { whenLogged } from './lag.ts'
import type { NodeModel } from './model.ts'
import { replayOf } from './replay.ts'
import type { ModelRunner } from './runner.ts'
import { checkSameJob, openFrom, sealFor } from './sealed.ts'
import { taken } from './taken.ts'

export type AuditorPorts = {
  readonly key: KeyPair
  readonly transport: PeerTransport
  readonly store: Store
  readonly clock: Clock
  readonly random: Random
  readonly state: () => LogState
  readonly rosters: Rosters
  readonly runner: ModelRunner
}

/** One runs, the others wait: a forward pass over a whole output takes the machine from its own work. */
const AUDITS_MAX = 4
/** An edge waits some seconds for an answer, as for any: whoever is at work says so well before. */
const ANSWER_MS = 500
const SALT_BYTES = 32

/** What an auditor stores before it commits: its report, and the same as it was shown, empty until then. */
const claimCodec = defineBody('audit-claim', { report: bytesMax(auditCodec.bytesMax), shown: bytesMax(2_048) }, 3_840)
type Claim = BodyOf<typeof claimCodec>
type Place = Pick<AuditReport, 'jobId' | 'attempt' | 'replica'>

export class AuditorRole {
  readonly #ports: AuditorPorts
  /** By job, attempt and replica; a repeated question waits for the first one's answer. */
  readonly #open = new Map<string, Promise<Claim>>()
  #last: Promise<unknown> = Promise.resolve()

  constructor(ports: AuditorPorts) {
    this.#ports = ports
    ports.transport.onMessage('audit/ask', async (from, body, signal) => this.#ask(from, body, signal))
    ports.transport.onMessage('audit/wait', async (from, body, signal) => {
      const place = taken(auditShowCodec.decode(body))
      await jobOfEdge(ports.state, place.jobId as JobId, from, ports.clock, signal)
      const running = this.#open.get(subjectOf(place))
      const stored = ports.store.work(ports.key.peer, subjectOf(place))
      if (stored !== undefined) return this.#commitTo(place, decodeClaim(stored))
      if (running === undefined) throw new FabricError('CF_MESH_REFUSED', { reason: 'unknown_parent' })
      return this.#commitSoon(place, running, signal)
    })
    ports.transport.onMessage('audit/show', async (from, body, signal) => {
      const asked = taken(auditShowCodec.decode(body))
      await jobOfEdge(ports.state, asked.jobId as JobId, from, ports.clock, signal)
      const shown = await this.#show(subjectOf(asked), asked.others)
      // A report names tokens of the output where they are doubted.
      return sealFor(ports, from, 'audit/show', asked.jobId as JobId, shown).message
    })
  }

  /**
   * Signs the report with what others are bound to; asked again, also after a restart, it shows the very same.
   *
   * @throws FabricError CF_MESH_REFUSED where nothing has been committed to
   */
  async #show(subject: string, others: readonly Digest[]): Promise<Uint8Array> {
    const { store, key, state } = this.#ports
    const stored = store.work(key.peer, subject)
    if (stored === undefined) throw new FabricError('CF_MESH_REFUSED', { reason: 'unknown_parent' })
    const claim = decodeClaim(stored)
    if (claim.shown.length > 0) return claim.shown
    const shown = sealAs(auditCodec, { ...taken(auditCodec.decode(claim.report)), others }, state().swarmId, key)
    await store.commit([{ table: 'work', worker: key.peer, subject, bytes: claimCodec.encode({ ...claim, shown }) }])
    return shown
  }

  async #ask(from: PeerId, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const opened = openFrom(this.#ports, from, 'audit/ask', body)
    const ask = taken(auditAskCodec.decode(opened.body))
    checkSameJob(opened, ask.jobId)
    const { jobId, attempt, replica } = ask
    const place = { jobId, attempt, replica }
    const { state, clock, key, rosters, store } = this.#ports
    const job = await jobOfEdge(state, jobId as JobId, from, clock, signal)
    const earlier = store.work(key.peer, subjectOf(place))
    if (earlier !== undefined) return this.#commitTo(place, decodeClaim(earlier))
    await whenLogged(() => state().jobs.get(job.id)?.attempt === attempt, clock, signal)
    const logged = state().jobs.get(job.id) ?? job
    const roster = await rosterOfJob(rosters, state(), job.id, signal)
    const order = taken(judgeAuditAsk({ state: state(), roster, self: key.peer }, logged, ask))
    return this.#commitSoon(place, this.#once(subjectOf(place), order), signal)
  }

  /** @returns the sealed `audit-commit`, or nothing when it takes longer: whoever asks knows that somebody is at work, and asks again */
  async #commitSoon(place: Place, running: Promise<Claim>, signal: AbortSignal): Promise<Uint8Array> {
    const soon = this.#ports.clock.sleep(ANSWER_MS, signal).catch(() => undefined)
    const claim = await Promise.race([running, soon])
    return claim === undefined ? new Uint8Array() : this.#commitTo(place, claim)
  }

  /** @throws FabricError CF_WORKER_QUEUE_FULL; as `#audit` */
  #once(subject: string, order: AuditOrder): Promise<Claim> {
    const running = this.#open.get(subject)
    if (running !== undefined) return running
    if (this.#open.size >= AUDITS_MAX) throw new FabricError('CF_WORKER_QUEUE_FULL', { audits: this.#open.size })
    const turn = this.#last.catch(() => undefined).then(() => this.#audit(subject, order))
    this.#last = turn
    this.#open.set(subject, turn)
    const gone = (): void => void this.#open.delete(subject)
    turn.then(gone, gone)
    return turn
  }

  /** @throws FabricError CF_MODEL_* when there is no such model here: it abstains; CF_WORKER_*; CF_JOB_EXPIRED */
  async #audit(subject: string, order: AuditOrder): Promise<Claim> {
    const { key, runner, store, clock } = this.#ports
    const leftMs = Math.ceil(Number(order.job.deadlineMs) - clock.nowMs())
    if (leftMs <= 0) throw new FabricError('CF_JOB_EXPIRED', { reason: 'deadline' })
    const signal = AbortSignal.timeout(leftMs)
    const report = await runner.use(order.intent.modelDigest, signal, (model) => this.#report(model, order, signal))
    const claim = { report: auditCodec.encode(report), shown: new Uint8Array() }
    // Disk before network: after a crash this auditor must show this very report, and under the same salt.
    await store.commit([{ table: 'work', worker: key.peer, subject, bytes: claimCodec.encode(claim) }])
    return claim
  }

  async #report(model: NodeModel, order: AuditOrder, signal: AbortSignal): Promise<AuditReport> {
    const { clock, random } = this.#ports
    const { job, intent, inputs, replica, worker, beacon, commitment, commitmentHash, ids } = order
    const work = { jobId: job.id, user: job.user, intent, inputs }
    const startMs = clock.nowMs()
    const positions = await replayOf(model, work, { ids, schedule: commitment.schedule }, signal)
    const replayMs = Math.max(0, clock.nowMs() - startMs)
    const statistics = statisticsOf(positions, ids)
    const { engineId } = model.now()
    return {
      ...{ jobId: job.id, attempt: job.attempt, replica, worker, commitmentHash, policyId: job.policyId, engineId },
      ...statistics,
      probes: probesOf(positions, probePositions(beacon, replica, positions.length), ids),
      verdict: this.#verdict(order, statistics, engineId),
      replayMs,
      textDigest: textDigest(await textOf(model, order)),
      salt: random.bytes(SALT_BYTES),
      others: [],
    }
  }

  /** Without thresholds there is nothing that it could say. */
  #verdict({ job, intent, commitment }: AuditOrder, statistics: AuditStatistics, engineId: string) {
    const table = policyOf(this.#ports.state(), job)
    const { temperatureMilli } = intent.sampling
    const engines = { proverEngine: commitment.engineId, verifierEngine: engineId, temperatureMilli }
    return table === undefined ? 'abstain' : verdictOf(table, statistics, engines)
  }

  #commitTo(place: Place, { report }: Claim): Uint8Array {
    const { key, state } = this.#ports
    const { swarmId } = state()
    const { jobId, attempt, replica } = place
    const commit = auditCommit(swarmId, taken(auditCodec.decode(report)))
    return sealAs(auditCommitCodec, { jobId, attempt, replica, commit }, swarmId, key)
  }
}

async function textOf(model: NodeModel, { job, intent, inputs, ids }: AuditOrder): Promise<string> {
  const { task } = intent
  invariant(task !== 'embedding', 'only what is sampled is audited')
  const { promptIds, showControl = false } = await requestOf(model, task, {
    jobId: job.id,
    user: job.user,
    intent,
    inputs,
  })
  return model.detokenize({ promptIds, outputIds: ids, showControl })
}

function subjectOf(place: Parameters<typeof claimSubject>[0]): string {
  return `audit/${claimSubject(place)}`
}

/** @param stored  what this auditor stored itself */
function decodeClaim(stored: Uint8Array): Claim {
  const claim = claimCodec.decode(stored)
  invariant(claim.action === 'accept', 'a stored audit decodes')
  return claim.value
}
