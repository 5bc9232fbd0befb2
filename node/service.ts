/** The node as its control plane sees it: jobs, accounts and status over the roles that the daemon has put together. */
import { FabricError } from '../core/errors.ts'
import { sealAs } from '../core/identity/envelope.ts'
import type { KeyPair } from '../core/identity/keys.ts'
import { type AccountId, type Digest, digestBytes, type JobId, nodeAccount, userAccount } from '../core/ids.ts'
import { invariant } from '../core/invariant.ts'
import type { Job } from '../core/job/job.ts'
import { EMPTY_ACCOUNT, spendable, unvested } from '../core/ledger/account.ts'
import { quote as priceOf } from '../core/ledger/pricing.ts'
import type { Applied } from '../core/log/apply.ts'
import { mintCodec, transferCodec } from '../core/log/bodies.ts'
import { mayWork } from '../core/log/draw.ts'
import { epochOfJob, epochStart } from '../core/log/epochs.ts'
import type { Refused } from '../core/log/refusal.ts'
import { encodeRoster, type RosterSnapshot } from '../core/roster/roster.ts'
import { isVerifiable } from '../core/verification/replayable.ts'
import type { Coordinator } from './jobs/coordinator.ts'
import { Custody } from './jobs/custody.ts'
import type { DisputeDesk } from './jobs/disputes.ts'
import { exportEvidence } from './jobs/evidence-export.ts'
import { explanationOf, loggedExplanation } from './jobs/explain.ts'
import type { NodeModel } from './jobs/model.ts'
import type { ModelPool } from './jobs/pool/model-pool.ts'
import { modelView } from './jobs/pool/views.ts'
import { quorumView } from './jobs/quorum.ts'
import { refusalError } from './jobs/refusals.ts'
import { loggedTimed, timelineOf } from './jobs/timeline.ts'
import { jobView } from './jobs/view.ts'
import type {
  AccountView,
  App,
  AuditView,
  DirectTransfer,
  InviteTerms,
  JobExplanation,
  JobHandle,
  JobRequest,
  JobTimeline,
  JobView,
  ModelState,
  ModelView,
  PeerView,
  QuorumView,
  Quote,
  RunningModelView,
  StatusView,
} from './runtime/app.ts'
import type { Membership, PeerSight, Rosters } from './runtime/mesh.ts'
import type { Policies } from './runtime/policies.ts'
import type { Clock, Ledger, Random, RegionLog, Store, TransferFilter, TransferRow } from './runtime/ports.ts'
import type { Simulated, SimulationRequest, Simulator } from './runtime/simulation.ts'
import { endedOf, idleReason, modelState, ON_DEMAND, total } from './status-parts.ts'
import type { StateLedger } from './stores/ledger-core.ts'
import { transferRows } from './stores/projection.ts'
import type { LocalKeys } from './swarm/genesis.ts'
import { invite } from './swarm/inviting.ts'
import { type Network, readSwarmKey } from './swarm/networked.ts'
import { localPeers, logNote, meshView, swarmPeers } from './swarm/views.ts'

export type ServicePorts = {
  readonly keys: LocalKeys
  readonly coordinator: Coordinator
  readonly disputes: DisputeDesk
  readonly policies: Policies
  /** Read for its state and audit. */
  readonly ledger: StateLedger
  /** Where entries go. */
  readonly writer: Ledger
  readonly store: Store
  readonly pool: ModelPool
  readonly rosters: Rosters
  /** Of a node of a real swarm. */
  readonly network: Network | undefined
  readonly membership: () => Membership | undefined
  readonly clock: Clock
  readonly random: Random
  readonly log: Pick<RegionLog, 'name' | 'read'>
  readonly simulator: Simulator
  readonly version: string
  /** Of a private swarm. */
  readonly swarmKeyFile: string
}

const RECENT_COUNT = 10
const HOUR_MS = 3_600_000
const NEVER = new AbortController().signal
/** Jobs looked at for the last hour's figures. */
const STATUS_JOB_COUNT = 500

export class NodeService implements App {
  readonly #ports: ServicePorts
  readonly #custody: Custody
  readonly #startedMs: number
  #stopping = false

  constructor(ports: ServicePorts) {
    this.#ports = ports
    this.#startedMs = ports.clock.nowMs()
    this.#custody = new Custody({ ...ports, user: ports.keys.user, state: () => ports.ledger.state })
  }

  stopping(): void {
    this.#stopping = true
  }

  ready(): { readonly ready: boolean; readonly reason: string } {
    if (this.#stopping) return { ready: false, reason: 'stopping' }
    const state = this.#chatState()
    const isReady = state === 'ready' || ON_DEMAND.has(state)
    return isReady ? { ready: true, reason: 'ready' } : { ready: false, reason: `compute host ${state}` }
  }

  status(): StatusView {
    const { keys, ledger, clock, log, version, pool, coordinator, network } = this.#ports
    const { genesis, swarmId, validators } = ledger.state
    const host = this.#chatState()
    const loaded = pool.members[0]?.loaded
    const shown = pool.members.filter(({ isStart, state }) => isStart || state !== 'absent')
    const earning = [keys.node, ...keys.validators].map(({ peer }) => this.account(nodeAccount(peer)))
    return {
      ...{
        node: keys.node.peer,
        user: keys.user.peer,
        swarm: swarmId,
        region: genesis.region,
        local: genesis.local,
        version,
      },
      startedMs: this.#startedMs,
      log: log.name,
      logNote: logNote(ledger.state, network),
      ...{ epoch: ledger.state.epoch, mesh: meshView(network, this.#sights()) },
      engine: loaded?.engineId ?? (host === 'failed' ? 'none' : 'loading'),
      driver: loaded?.driver ?? null,
      hostState: host,
      models: shown.map(modelState),
      ...{ validators: validators.keys.length, quorum: validators.quorum },
      account: this.account(userAccount(keys.user.peer)),
      earned: total(nodeAccount(keys.node.peer), earning),
      jobs: { open: coordinator.openCount, ...this.#lastHour(clock.nowMs()) },
      idle: idleReason(host, coordinator.openCount, this.#roster()?.members.length ?? 0),
    }
  }

  models(): readonly ModelView[] {
    return this.#ports.pool.members.filter(({ isGone }) => !isGone).map(modelView)
  }

  running(): Promise<readonly RunningModelView[]> {
    return this.#ports.pool.running()
  }

  loadModel(id: string, keepAliveMs: number | null | undefined, signal: AbortSignal): Promise<void> {
    const { pool } = this.#ports
    return pool.load(pool.named(id), signal, keepAliveMs)
  }

  async unloadModel(id: string): Promise<void> {
    const { pool } = this.#ports
    await pool.unload(pool.named(id), 'it was asked for')
  }

  peers(): readonly PeerView[] {
    const { keys, ledger, network, pool } = this.#ports
    const common = { self: keys.node.peer, state: ledger.state, roster: this.#roster() }
    if (network === undefined) return localPeers({ ...common, pool, loads: ON_DEMAND.has(this.#chatState()) })
    return swarmPeers({ ...common, sights: this.#sights(), nameOf: (digest) => this.#nameOf(digest) })
  }

  async invite(terms: InviteTerms): Promise<string> {
    const { network, keys, clock, random, swarmKeyFile } = this.#ports
    return invite(network, terms, { keys, clock, random, swarmKey: await readSwarmKey(swarmKeyFile) })
  }

  roster(epoch?: bigint): Uint8Array | undefined {
    const { ledger, rosters } = this.#ports
    const { state } = ledger
    const start = epochStart(state, epoch ?? state.epoch)
    const roster = start === undefined ? undefined : rosters.of(start.rosterRoot)
    return roster === undefined ? undefined : encodeRoster(roster)
  }

  async quote(request: JobRequest): Promise<Quote> {
    const { ledger, pool } = this.#ports
    // A quote answers what it would cost, also when that is above the budget.
    const { maxBudget: _, ...unlimited } = request
    const draft = (model: NodeModel) => this.#custody.draft(model, unlimited)
    const { intent } = await pool.useNamed(request.model, NEVER, draft)
    const { promptTokens, maxTokens, replicas } = intent
    const eligible = (this.#roster()?.members ?? []).filter(mayWork(ledger.state.genesis)).map(({ peer }) => peer)
    return {
      model: request.model,
      promptTokens,
      maxTokens,
      replicas,
      ...priceOf(ledger.state.genesis.prices, intent),
      eligible,
    }
  }

  /** The model stays until the job itself sees to that. */
  submit(request: JobRequest, signal: AbortSignal): Promise<JobHandle> {
    return this.#ports.pool.useNamed(request.model, signal, (model) => this.#submitTo(model, request))
  }

  async #submitTo(model: NodeModel, request: JobRequest): Promise<JobHandle> {
    const draft = await this.#custody.draft(model, request)
    const earlier = this.#custody.earlier(draft)
    if (earlier !== undefined) return this.#handle(earlier, true)
    return this.submitSigned(this.#custody.sign(draft), draft.inputs).catch((error: unknown) => {
      // The same request may have come twice at once: the second one finds the job that the first has just become.
      const nonceUsed = error instanceof FabricError && error.code === 'CF_JOB_NONCE_USED'
      const first = nonceUsed ? this.#custody.earlier(draft) : undefined
      if (first === undefined) throw error
      return this.#handle(first, true)
    })
  }

  async submitSigned(envelope: Uint8Array, payload: Uint8Array): Promise<JobHandle> {
    if (this.#stopping) throw new FabricError('CF_CONTROL_SHUTTING_DOWN')
    const { coordinator, pool } = this.#ports
    const { id, repeated } = await coordinator.submit(envelope, payload).catch((error: unknown) => {
      const unknown = error instanceof FabricError && error.code === 'CF_MODEL_UNKNOWN'
      // Before all models are there nobody can say whether one of them is the one that the intent names.
      throw unknown && pool.isStarting ? new FabricError('CF_WORKER_STARTING') : error
    })
    return this.#handle(id, repeated)
  }

  watch(id: JobId): JobHandle | undefined {
    const job = this.#ports.coordinator.job(id)
    return job === undefined ? undefined : this.#handleOf(job, false)
  }

  job(id: JobId): JobView | undefined {
    const job = this.#ports.coordinator.job(id)
    if (job === undefined) return undefined
    const { modelDigest } = job.intent
    return jobView(job, this.#nameOf(modelDigest), this.#ports.ledger.state.jobs.get(id)?.disputes)
  }

  jobs(limit: number, beforeMs?: number): readonly JobView[] {
    return this.#ports.store.listJobs(limit, beforeMs).flatMap(({ id }) => this.job(id) ?? [])
  }

  async timeline(id: JobId): Promise<JobTimeline | undefined> {
    const { log, ledger, store } = this.#ports
    const logged = ledger.state.jobs.get(id)
    const job = this.job(id) ?? (logged === undefined ? undefined : loggedTimed(logged))
    const transfers = (filter: TransferFilter) => store.transfers(filter)
    return job === undefined ? undefined : timelineOf(job, { log, state: () => ledger.state, transfers })
  }

  /** A job that came in elsewhere is explained from the log: the draw is the same for everybody. */
  explain(id: JobId): JobExplanation | undefined {
    const { coordinator, ledger, rosters } = this.#ports
    const { state } = ledger
    const [job, logged] = [coordinator.job(id), state.jobs.get(id)]
    const root = job?.draw.rosterRoot ?? (logged === undefined ? undefined : epochOfJob(state, logged).rosterRoot)
    const roster = root === undefined ? undefined : rosters.of(root)
    if (roster === undefined) return undefined
    if (job !== undefined) return explanationOf(job, state, roster)
    return logged === undefined ? undefined : loggedExplanation(logged, state, roster)
  }

  async quorum(limit: number): Promise<QuorumView> {
    const { log, ledger, keys } = this.#ports
    const own = [keys.node, ...keys.validators].map(({ peer }) => peer)
    return quorumView(log, ledger.state, this.#roster(), own, limit)
  }

  cancel(id: JobId): void {
    this.#ports.coordinator.cancel(id)
  }

  receipt(id: JobId): Uint8Array | undefined {
    return this.#ports.store.receipt(id)
  }

  evidence(id: JobId, replica: number | undefined, withPrompt: boolean): Uint8Array {
    const { coordinator, ledger, store } = this.#ports
    return exportEvidence(coordinator.job(id), { store, state: ledger.state }, replica, withPrompt)
  }

  dispute(...dispute: Parameters<App['dispute']>): ReturnType<App['dispute']> {
    return this.#ports.disputes.openAs(this.#ports.keys, ...dispute)
  }

  get policies(): Policies {
    return this.#ports.policies
  }

  genesis(): Uint8Array {
    return this.#ports.ledger.state.genesis.bytes
  }

  account(id: AccountId): AccountView {
    const { ledger, store, clock } = this.#ports
    const account = ledger.state.accounts.get(id) ?? EMPTY_ACCOUNT
    const nowMs = BigInt(clock.nowMs())
    const recent = store.transfers({ account: id, limit: RECENT_COUNT })
    return { id, spendable: spendable(account, nowMs), held: account.held, pending: unvested(account, nowMs), recent }
  }

  transfers(filter: TransferFilter): readonly TransferRow[] {
    return this.#ports.store.transfers(filter)
  }

  async mint(to: AccountId, amount: bigint, reason: string, idempotencyKey: string): Promise<TransferRow> {
    const { ledger, writer, keys } = this.#ports
    const body = sealAs(mintCodec, { to, amount, reason, idempotencyKey }, ledger.state.swarmId, keys.mint)
    return this.#moved(await writer.append('mint', body))
  }

  async transfer({ kind, from, to, amount, reason, jobId, idempotencyKey }: DirectTransfer): Promise<TransferRow> {
    const { ledger, writer } = this.#ports
    const job = jobId === null ? new Uint8Array() : digestBytes(jobId)
    const value = { kind, from, to, amount, reason, jobId: job, idempotencyKey }
    return this.#moved(
      await writer.append('transfer', sealAs(transferCodec, value, ledger.state.swarmId, this.#signerOf(from))),
    )
  }

  simulate(request: SimulationRequest, signal: AbortSignal): Promise<Simulated> {
    return this.#ports.simulator.simulate(request, signal)
  }

  audit(): Promise<AuditView> {
    return this.#ports.ledger.audit()
  }

  /** Who may move credit out of an account: its owner when the key is here, else the mint key, which the log lets do less. */
  #signerOf(from: AccountId): KeyPair {
    const { keys } = this.#ports
    const owners = [keys.user, keys.node, ...keys.validators]
    return owners.find(({ peer }) => from === userAccount(peer) || from === nodeAccount(peer)) ?? keys.mint
  }

  /** @throws FabricError by the log's refusal; a repeated key gives the row that the first call made */
  #moved(result: Applied | Refused): TransferRow {
    if (result.status === 'applied') return firstOf(transferRows(result))
    const [earlier] = this.#earlierRows(result)
    if (earlier === undefined) throw refusalError(result)
    return earlier
  }

  #earlierRows(refused: Refused): readonly TransferRow[] {
    const { entryHash } = refused
    return refused.reason === 'idempotency_repeat' && entryHash !== undefined
      ? this.#ports.store.transfers({ hash: entryHash, limit: 1 })
      : []
  }

  #handle(id: JobId, repeated: boolean): JobHandle {
    const job = this.#ports.coordinator.job(id)
    const handle = job === undefined ? undefined : this.#handleOf(job, repeated)
    if (handle === undefined) throw new FabricError('CF_JOB_UNKNOWN', { job: id })
    return handle
  }

  /** @returns undefined for a job of an earlier run that is not taken up yet: nothing is told of it before the engine is there */
  #handleOf(job: Job, repeated: boolean): JobHandle | undefined {
    const { id, intent } = job
    const { feeds } = this.#ports.coordinator
    const feed = feeds.get(id) ?? (job.phase === 'settled' ? feeds.replay(job) : undefined)
    const { promptTokens, sampling } = intent
    return feed === undefined
      ? undefined
      : { id, promptTokens, repeated, verifiable: isVerifiable(sampling), progress: (signal) => feed.listen(signal) }
  }

  #nameOf(modelDigest: Digest): string {
    return this.#ports.pool.members.find(({ entry }) => entry.digest === modelDigest)?.entry.id ?? modelDigest
  }

  /** Of the current epoch; undefined for a moment while it is fetched. */
  #roster(): RosterSnapshot | undefined {
    const { ledger, rosters } = this.#ports
    return rosters.of(ledger.state.rosterRoot)
  }

  #sights(): readonly PeerSight[] {
    return this.#ports.membership()?.sights() ?? []
  }

  #chatState(): ModelState {
    return this.#ports.pool.members[0]?.state ?? 'failed'
  }

  #lastHour(nowMs: number): ReturnType<typeof endedOf> {
    const rows = this.#ports.store.listJobs(STATUS_JOB_COUNT).filter(({ createdMs }) => createdMs > nowMs - HOUR_MS)
    return endedOf(rows.map(({ id }) => this.job(id)?.outcome))
  }
}

function firstOf(rows: readonly TransferRow[]): TransferRow {
  const [row] = rows
  invariant(row !== undefined, 'a mint or transfer entry makes a transfer')
  return row
}
