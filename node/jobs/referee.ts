/** The referee's role: compute a disputed replica again, alone and from its own words, and sign what comes out. */

import { FabricError } from '../../core/errors.ts'
import { rememberWithin } from '../../core/identity/bounded-cache.ts'
import { openAs, sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { JobId, PeerId } from '../../core/ids.ts'
import {
  bisectAnswerCodec,
  bisectAskCodec,
  disputeOf,
  type RefereeRequest,
  refereeRequestCodec,
  refereeStructure,
  refereesOf,
} from '../../core/job/judge-dispute.ts'
import { ZERO_DIGEST } from '../../core/ledger/settlement.ts'
import { openReplicaInputs, type ReplicaInputs } from '../../core/log/inputs.ts'
import { policyOf } from '../../core/log/policies.ts'
import { intentOf } from '../../core/log/settling.ts'
import type { LoggedDispute, LoggedJob, LogState } from '../../core/log/state.ts'
import { statisticsOf } from '../../core/verification/audit.ts'
import { bisectAnswerer } from '../../core/verification/bisect.ts'
import { commitmentCodec, textDigest } from '../../core/verification/commitment.ts'
import { type RefereeVote, refereeVoteCodec } from '../../core/verification/dispute.ts'
import type { Finding } from '../../core/verification/finding.ts'
import { verdictOf } from '../../core/verification/policy-table.ts'
import { isAuditable } from '../../core/verification/replayable.ts'
import type { Structure } from '../../core/verification/structure.ts'
import type { Rosters } from '../runtime/mesh.ts'
import type { Clock, PeerTransport, Store } from '../runtime/ports.ts'
import { requestOf } from './compute.ts'
import { jobOfEdge } from './its-edge.ts'
import { rosterOfJob } from './job-roster.ts'
import { whenLogged } from './lag.ts'
import type { NodeModel } from './model.ts'
import { replayOf } from './replay.ts'
import type { ModelRunner } from './runner.ts'
import { checkSameJob, openFrom } from './sealed.ts'
import { taken } from './taken.ts'

export type RefereePorts = {
  readonly key: KeyPair
  readonly transport: PeerTransport
  readonly store: Store
  readonly clock: Clock
  readonly state: () => LogState
  readonly rosters: Rosters
  readonly runner: ModelRunner
}

/** One runs, the others wait. */
const CASES_MAX = 4
/** Cases whose margins are remembered. */
const REMEMBERED_MAX = 16

type Found = Pick<
  RefereeVote,
  'positions' | 'meanMicro' | 'worstMicro' | 'outsideCount' | 'stopMicro' | 'marginRoot' | 'verdict' | 'reason'
> & { readonly engineId: string }

const UNASKED = {
  ...{ positions: 0, meanMicro: 0, worstMicro: 0, outsideCount: 0, stopMicro: 0, marginRoot: ZERO_DIGEST },
  engineId: '',
} as const

type Hearing = {
  readonly job: LoggedJob
  readonly dispute: LoggedDispute
  readonly finding: Finding
  readonly request: RefereeRequest
}

export class RefereeRole {
  readonly #ports: RefereePorts
  /** By dispute; a repeated question waits for the first one's answer. */
  readonly #open = new Map<string, Promise<Uint8Array>>()
  #last: Promise<unknown> = Promise.resolve()
  /** Of the last cases, by dispute: who voted otherwise may be asked where. */
  readonly #answerers = new Map<string, ReturnType<typeof bisectAnswerer>>()

  constructor(ports: RefereePorts) {
    this.#ports = ports
    ports.transport.onMessage('dispute/referee', async (from, body, signal) => {
      const opened = openFrom(ports, from, 'dispute/referee', body)
      const request = taken(refereeRequestCodec.decode(opened.body))
      checkSameJob(opened, request.jobId)
      const hearing = await this.#hearing(from, request, signal)
      const { store, key } = ports
      return store.work(key.peer, subjectOf(hearing.dispute)) ?? this.#once(hearing, signal)
    })
    ports.transport.onMessage('dispute/bisect', (from, body, signal) => this.#bisect(from, body, signal))
  }

  /** @throws FabricError CF_MESH_REFUSED not_its_edge; unknown_parent for a case that it does not remember, or a node that there is not */
  async #bisect(from: PeerId, body: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    const { state, clock } = this.#ports
    const { jobId, dispute, ...question } = taken(bisectAskCodec.decode(body))
    const job = await jobOfEdge(state, jobId as JobId, from, clock, signal)
    const answer = disputeOf(job, dispute) === undefined ? undefined : this.#answerers.get(dispute)?.(question)
    if (answer === undefined) throw refused('unknown_parent')
    return bisectAnswerCodec.encode({ nodes: [...answer.nodes], margins: [...answer.margins] })
  }

  /** @throws FabricError CF_MESH_REFUSED not_its_edge, unknown_parent, not_for_us, commitment_mismatch; CF_ROSTER_UNKNOWN */
  async #hearing(from: PeerId, request: RefereeRequest, signal: AbortSignal): Promise<Hearing> {
    const { state, clock, rosters, key } = this.#ports
    const id = request.jobId as JobId
    await jobOfEdge(state, id, from, clock, signal)
    const find = (): LoggedDispute | undefined => {
      const logged = state().jobs.get(id)
      return logged === undefined ? undefined : disputeOf(logged, request.dispute)
    }
    await whenLogged(() => find() !== undefined, clock, signal)
    const [job, dispute] = [state().jobs.get(id), find()]
    const finding = job?.findings[dispute?.replica ?? -1]
    if (job === undefined || dispute === undefined || finding === undefined) throw refused('unknown_parent')
    const roster = await rosterOfJob(rosters, state(), id, signal)
    const drawn = taken(refereesOf(state(), roster, job, dispute, request.audits))
    if (!drawn.includes(key.peer)) throw refused('not_for_us')
    if (!isCase(state(), job, finding, request)) throw refused('commitment_mismatch')
    return { job, dispute, finding, request }
  }

  /** @throws FabricError CF_WORKER_QUEUE_FULL; as `#vote` */
  #once(hearing: Hearing, signal: AbortSignal): Promise<Uint8Array> {
    const subject = subjectOf(hearing.dispute)
    const running = this.#open.get(subject)
    if (running !== undefined) return running
    if (this.#open.size >= CASES_MAX) throw new FabricError('CF_WORKER_QUEUE_FULL', { cases: this.#open.size })
    const turn = this.#last.catch(() => undefined).then(() => this.#vote(hearing, signal))
    this.#last = turn
    this.#open.set(subject, turn)
    const gone = (): void => void this.#open.delete(subject)
    turn.then(gone, gone)
    return turn
  }

  async #vote(hearing: Hearing, signal: AbortSignal): Promise<Uint8Array> {
    const { key, state, store } = this.#ports
    const { job, dispute, finding } = hearing
    const found = await this.#judged(hearing, signal)
    const vote: RefereeVote = {
      ...{ jobId: job.id, dispute: dispute.hash, replica: dispute.replica, policyId: job.policyId },
      ...{ commitmentHash: finding.commitmentHash, ...found },
    }
    const bytes = sealAs(refereeVoteCodec, vote, state().swarmId, key)
    // Disk before network: asked again, this referee must say the same.
    await store.commit([{ table: 'work', worker: key.peer, subject: subjectOf(dispute), bytes }])
    return bytes
  }

  /** What cannot be computed here is an abstention, and signed: silence would count against a decision. */
  async #judged(hearing: Hearing, signal: AbortSignal): Promise<Found> {
    const { runner } = this.#ports
    const { modelDigest } = intentOf(hearing.job)
    try {
      return await runner.use(modelDigest, signal, (model) => this.#compute(model, hearing, signal))
    } catch (error) {
      const isAbsent = error instanceof FabricError && error.row.retry === 'never' && error.code.startsWith('CF_MODEL_')
      if (isAbsent) return { ...UNASKED, verdict: 'abstain', reason: 'no_model' }
      throw error
    }
  }

  async #compute(model: NodeModel, hearing: Hearing, signal: AbortSignal): Promise<Found> {
    const { job, finding, request } = hearing
    const { facts } = model
    if (facts === undefined) return { ...UNASKED, verdict: 'abstain', reason: 'no_model' }
    const structure = refereeStructure(this.#ports.state(), job, finding, request, facts)
    if (!structure.ok) return { ...UNASKED, verdict: 'fail', reason: structure.reason }
    const intent = intentOf(job)
    if (!isAuditable(intent) || structure.aborted) return { ...UNASKED, verdict: 'abstain', reason: 'not_replayable' }
    return this.#replay(model, hearing, structure, signal)
  }

  async #replay(
    model: NodeModel,
    { job, dispute, request }: Hearing,
    { words, text }: Extract<Structure, { ok: true }>,
    signal: AbortSignal,
  ): Promise<Found> {
    const { state } = this.#ports
    const intent = intentOf(job)
    const work = { jobId: job.id, user: job.user, intent, inputs: inputsIn(job, dispute, request) }
    const commitment = taken(openAs(commitmentCodec, request.commitment, state().swarmId)).value
    const positions = await replayOf(model, work, { ids: words, schedule: commitment.schedule }, signal)
    const margins = positions.map(({ margin }) => margin)
    rememberWithin(this.#answerers, dispute.hash, bisectAnswerer(margins), REMEMBERED_MAX)
    const {
      positions: count,
      meanMicro,
      worstMicro,
      outsideCount,
      stopMicro,
      marginRoot,
      ...rest
    } = statisticsOf(positions, words)
    const statistics = { positions: count, meanMicro, worstMicro, outsideCount, stopMicro, marginRoot }
    const { engineId } = model.now()
    const { promptIds, showControl = false } = await requestOf(
      model,
      intent.task === 'chat' ? 'chat' : 'completion',
      work,
    )
    const own = textDigest(await model.detokenize({ promptIds, outputIds: words, showControl }))
    if (own !== text) return { ...statistics, engineId, verdict: 'fail', reason: 'text' }
    const table = policyOf(state(), job)
    if (table === undefined) return { ...statistics, engineId, verdict: 'abstain', reason: 'no_policy' }
    const { temperatureMilli } = intent.sampling
    const engines = { proverEngine: commitment.engineId, verifierEngine: engineId, temperatureMilli }
    const verdict = verdictOf(table, { ...statistics, ...rest }, engines)
    return { ...statistics, engineId, verdict, reason: verdict === 'abstain' ? 'no_policy' : 'none' }
  }
}

/** Whether what the edge shows is what the finding and the intent are about. */
function isCase({ swarmId }: LogState, job: LoggedJob, finding: Finding, request: RefereeRequest): boolean {
  const intent = intentOf(job)
  if (openReplicaInputs(intent, finding.replica, request.inputs).action !== 'accept') return false
  if (request.commitment.length === 0) return finding.commitmentHash === ZERO_DIGEST
  const opened = openAs(commitmentCodec, request.commitment, swarmId)
  return opened.action === 'accept' && commitmentCodec.digest(swarmId, opened.value.body) === finding.commitmentHash
}

function inputsIn(job: LoggedJob, { replica }: LoggedDispute, { inputs }: RefereeRequest): ReplicaInputs {
  return taken(openReplicaInputs(intentOf(job), replica, inputs))
}

function refused(reason: string): FabricError {
  return new FabricError('CF_MESH_REFUSED', { reason })
}

function subjectOf({ hash }: Pick<LoggedDispute, 'hash'>): string {
  return `referee/${hash}`
}
