/** The node as its control plane sees it: jobs, accounts and status over the roles that the daemon has put together. */
import { FabricError } from '../core/errors.ts'
import { sealAs } from '../core/identity/envelope.ts'
import type { KeyPair } from '../core/identity/keys.ts'
import { type AccountId, digestBytes, type JobId, nodeAccount, userAccount } from '../core/ids.ts'
import { invariant } from '../core/invariant.ts'
import type { Job } from '../core/job/job.ts'
import { EMPTY_ACCOUNT, spendable, unvested } from '../core/ledger/account.ts'
import { quote as priceOf } from '../core/ledger/pricing.ts'
import type { Applied } from '../core/log/apply.ts'
import { mintCodec, transferCodec } from '../core/log/bodies.ts'
import { isVerifiable } from '../core/log/intent.ts'
import type { Refused } from '../core/log/refusal.ts'
import { ROLE, type RosterSnapshot } from '../core/roster/roster.ts'
import type { Coordinator } from './jobs/coordinator.ts'
import { Custody } from './jobs/custody.ts'
import { explanationOf } from './jobs/explain.ts'
import type { NodeModel } from './jobs/model.ts'
import { quorumView } from './jobs/quorum.ts'
import { refusalError } from './jobs/refusals.ts'
import type { ModelRunner } from './jobs/runner.ts'
import { timelineOf } from './jobs/timeline.ts'
import { jobView } from './jobs/view.ts'
import type { LocalKeys } from './local-swarm.ts'
import type {
  AccountView,
  App,
  AuditView,
  DirectTransfer,
  JobExplanation,
  JobHandle,
  JobRequest,
  JobTimeline,
  JobView,
  ModelView,
  PeerView,
  QuorumView,
  Quote,
  StatusView,
} from './runtime/app.ts'
import type { Clock, Ledger, Random, RegionLog, Store, TransferFilter, TransferRow } from './runtime/ports.ts'
import type { Simulated, SimulationRequest, Simulator } from './runtime/simulation.ts'
import type { LogLedger } from './stores/ledger.ts'
import { transferRows } from './stores/projection.ts'

export type ServicePorts = {
  readonly keys: LocalKeys
  readonly coordinator: Coordinator
  /** Read for its state and audit. */
  readonly ledger: LogLedger
  /** Where entries go. */
  readonly writer: Ledger
  readonly store: Store
  readonly runner: ModelRunner
  readonly roster: RosterSnapshot
  readonly clock: Clock
  readonly random: Random
  readonly log: RegionLog
  readonly simulator: Simulator
  readonly version: string
  readonly hostState: (model: NodeModel) => StatusView['hostState']
}

const RECENT_COUNT = 10
const HOUR_MS = 3_600_000
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
    return state === 'ready' ? { ready: true, reason: 'ready' } : { ready: false, reason: `compute host ${state}` }
  }

  status(): StatusView {
    const { keys, ledger, roster, clock, log, version, runner, coordinator } = this.#ports
    const { genesis, swarmId, validators } = ledger.state
    const host = this.#chatState()
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
      logNote: 'single point of failure: one database on this machine',
      engine: runner.models[0]?.loaded?.engineId ?? (host === 'failed' ? 'none' : 'loading'),
      hostState: host,
      models: runner.models.map((model) => this.#modelState(model)),
      ...{ validators: validators.keys.length, quorum: validators.quorum },
      account: this.account(userAccount(keys.user.peer)),
      earned: total(nodeAccount(keys.node.peer), earning),
      jobs: { open: coordinator.openCount, ...this.#lastHour(clock.nowMs()) },
      idle: idleReason(host, coordinator.openCount, roster.members.length),
    }
  }

  models(): readonly ModelView[] {
    return this.#ports.runner.models.map(({ entry, loaded }) => {
      const { id, task, digest, bytes, parameters, contextTokens, dimensions, createdMs } = entry
      return {
        ...{ id, task, digest, bytes, parameters, contextTokens, dimensions, createdMs },
        loaded: loaded !== undefined,
      }
    })
  }

  peers(): readonly PeerView[] {
    const { roster, keys, ledger, runner } = this.#ports
    const held = runner.models.filter(({ loaded }) => loaded !== undefined).map(({ entry }) => entry.id)
    return roster.members.map(({ peer, roles, weight }) => ({
      ...{
        id: peer,
        self: peer === keys.node.peer,
        state: 'alive',
        region: ledger.state.genesis.region,
        weight,
        models: held,
      },
      roles: (['worker', 'validator', 'edge'] as const).filter((role) => (roles & ROLE[role]) !== 0),
      ineligible: held.length === 0 ? 'its model is not loaded' : null,
    }))
  }

  async quote(request: JobRequest): Promise<Quote> {
    const { ledger, roster } = this.#ports
    // A quote answers what it would cost, also when that is above the budget.
    const { maxBudget: _, ...unlimited } = request
    const { intent } = await this.#custody.draft(unlimited)
    const { promptTokens, maxTokens, replicas } = intent
    const eligible = roster.members.filter(({ roles }) => (roles & ROLE.worker) !== 0).map(({ peer }) => peer)
    return {
      model: request.model,
      promptTokens,
      maxTokens,
      replicas,
      ...priceOf(ledger.state.genesis.prices, intent),
      eligible,
    }
  }

  async submit(request: JobRequest): Promise<JobHandle> {
    const draft = await this.#custody.draft(request)
    const earlier = this.#custody.earlier(draft)
    if (earlier !== undefined) return this.#handle(earlier, true)
    return this.submitSigned(this.#custody.sign(draft), draft.payload).catch((error: unknown) => {
      // The same request may have come twice at once: the second one finds the job that the first has just become.
      const nonceUsed = error instanceof FabricError && error.code === 'CF_JOB_NONCE_USED'
      const first = nonceUsed ? this.#custody.earlier(draft) : undefined
      if (first === undefined) throw error
      return this.#handle(first, true)
    })
  }

  async submitSigned(envelope: Uint8Array, payload: Uint8Array): Promise<JobHandle> {
    if (this.#stopping) throw new FabricError('CF_CONTROL_SHUTTING_DOWN')
    const { coordinator, runner } = this.#ports
    const { id, repeated } = await coordinator.submit(envelope, payload).catch((error: unknown) => {
      const unknown = error instanceof FabricError && error.code === 'CF_MODEL_UNKNOWN'
      // Before all models are there nobody can say whether one of them is the one that the intent names.
      throw unknown && runner.starting ? new FabricError('CF_WORKER_STARTING') : error
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
    return jobView(job, this.#ports.runner.find(modelDigest)?.entry.id ?? modelDigest)
  }

  jobs(limit: number, beforeMs?: number): readonly JobView[] {
    return this.#ports.store.listJobs(limit, beforeMs).flatMap(({ id }) => this.job(id) ?? [])
  }

  async timeline(id: JobId): Promise<JobTimeline | undefined> {
    const { log, ledger, store } = this.#ports
    const job = this.job(id)
    const transfers = (filter: TransferFilter) => store.transfers(filter)
    return job === undefined ? undefined : timelineOf(job, { log, state: () => ledger.state, transfers })
  }

  explain(id: JobId): JobExplanation | undefined {
    const { coordinator, ledger, roster } = this.#ports
    const job = coordinator.job(id)
    return job === undefined ? undefined : explanationOf(job, ledger.state, roster)
  }

  quorum(limit: number): Promise<QuorumView> {
    const { log, ledger, roster, keys } = this.#ports
    const own = [keys.node, ...keys.validators].map(({ peer }) => peer)
    return quorumView(log, ledger.state, roster, own, limit)
  }

  cancel(id: JobId): void {
    this.#ports.coordinator.cancel(id)
  }

  receipt(id: JobId): Uint8Array | undefined {
    return this.#ports.store.receipt(id)
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

  #chatState(): StatusView['hostState'] {
    const { runner, hostState } = this.#ports
    const [chat] = runner.models
    return chat === undefined ? 'failed' : hostState(chat)
  }

  #modelState(model: NodeModel): StatusView['models'][number] {
    const { id, task } = model.entry
    return { id, task, state: this.#ports.hostState(model), reason: model.failure }
  }

  #lastHour(nowMs: number): { readonly settledLastHour: number; readonly refundedLastHour: number } {
    const rows = this.#ports.store.listJobs(STATUS_JOB_COUNT).filter(({ createdMs }) => createdMs > nowMs - HOUR_MS)
    const outcomes = rows.map(({ id }) => this.job(id)?.outcome)
    const refunded = outcomes.filter((outcome) => outcome === 'refunded' || outcome === 'rejected')
    return {
      settledLastHour: outcomes.filter((outcome) => outcome !== undefined && outcome !== null).length - refunded.length,
      refundedLastHour: refunded.length,
    }
  }
}

function firstOf(rows: readonly TransferRow[]): TransferRow {
  const [row] = rows
  invariant(row !== undefined, 'a mint or transfer entry makes a transfer')
  return row
}

function idleReason(host: StatusView['hostState'], openJobs: number, members: number): string | null {
  if (openJobs > 0) return null
  if (host === 'failed') return 'the chat model could not be loaded: the log says why'
  if (host !== 'ready') return `the compute host is ${host}`
  return members === 0 ? 'the roster is empty' : 'no jobs: nobody has asked for one'
}

function total(id: AccountId, accounts: readonly AccountView[]): AccountView {
  const sum = (field: 'spendable' | 'held' | 'pending') =>
    accounts.reduce((amount, account) => amount + account[field], 0n)
  return { id, spendable: sum('spendable'), held: sum('held'), pending: sum('pending'), recent: [] }
}
