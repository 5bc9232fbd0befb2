/** The edge's role: admits intents, drives each job's machine and performs what it owes. */
import { FabricError } from '../../core/errors.ts'
import { openAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import { type Digest, type JobId, type PeerId, type UserId, userAccount } from '../../core/ids.ts'
import { admitJob } from '../../core/job/admission.ts'
import type { AdmittedJob, Effect, HoldRecord, Job, Phase } from '../../core/job/job.ts'
import { encodeJob, parseJob } from '../../core/job/journal.ts'
import { isModelFor, type ModelFacts } from '../../core/job/judge.ts'
import { spendable } from '../../core/ledger/account.ts'
import { quote } from '../../core/ledger/pricing.ts'
import type { Applied } from '../../core/log/apply.ts'
import { holdBody } from '../../core/log/bodies.ts'
import { epochOfJob } from '../../core/log/epochs.ts'
import { isSplit, type OpenInputs, openJobInputs, seedsIn } from '../../core/log/inputs.ts'
import { type Intent, intentCodec, intentFault, jobIdOf } from '../../core/log/intent.ts'
import type { LogState } from '../../core/log/state.ts'
import type { RosterSnapshot } from '../../core/roster/roster.ts'
import { JobLoop, type LoopOptions, type Performed } from '../runtime/loop.ts'
import type { Rosters } from '../runtime/mesh.ts'
import type { Clock, Ledger, PeerTransport, Random, Store, StoreWrite } from '../runtime/ports.ts'
import { type AuditCount, Audits } from './audits.ts'
import type { Compare } from './closeness.ts'
import { Execution } from './execution.ts'
import { FeedShelf } from './feed-shelf.ts'
import { rosterOfJob } from './job-roster.ts'
import type { Preparations } from './prepare.ts'
import { refusalError } from './refusals.ts'
import { Settler } from './settler.ts'
import type { VoteWatch } from './tallies.ts'
import { Voting } from './voting.ts'

/** Longest wait for a roster that is not at hand. */
const ROSTER_MS = 3_000
const ROSTER_RETRY_MS = 100
/** Phases in which an order to work may still come. */
const BEFORE_OUTPUT: ReadonlySet<Phase> = new Set(['admitted', 'proposed', 'assigned', 'executing'])

export type CoordinatorPorts = VoteWatch & {
  readonly key: KeyPair
  readonly transport: PeerTransport
  readonly store: Store
  readonly ledger: Ledger
  readonly clock: Clock
  readonly random: Random
  readonly state: () => LogState
  readonly rosters: Rosters
  readonly facts: (modelDigest: Digest) => ModelFacts | undefined
  readonly fatal: (error: unknown) => void
  /** Reports what a peer did wrong: counted, never shown with the peer's own text. */
  readonly misbehaved: (peer: PeerId, reason: string) => void
  /** Absent: answers are compared by their tokens. */
  readonly compare?: Compare
  /** Hears of each audit that came to an end, and how. */
  readonly audited?: (count: AuditCount) => void
  /** Absent: every generation begins with its order. */
  readonly preparations?: Preparations
  /** Brings a model into memory; absent: the models of this node are always there. @throws FabricError as ModelRunner.use */
  readonly summon?: (modelDigest: Digest) => Promise<void>
  /** Keeps a model in memory until what it returns is called. */
  readonly engage?: (modelDigest: Digest) => () => void
}

export type CoordinatorOptions = LoopOptions & {
  /** Deadline of one request to a peer. */
  readonly requestMs: number
  readonly feedCountMax: number
}

type Wish = Pick<Job, 'id' | 'user' | 'intent' | 'intentEnvelope'>
export type Submitted = { readonly id: JobId; readonly repeated: boolean }

export class Coordinator {
  readonly #ports: CoordinatorPorts
  readonly #loop: JobLoop
  readonly #voting: Voting
  readonly #execution: Execution
  readonly #audits: Audits
  readonly #settler: Settler
  /** Of jobs that may still need their model: they let go of it. */
  readonly #engaged = new Map<JobId, () => void>()
  readonly feeds: FeedShelf

  constructor(options: CoordinatorOptions, ports: CoordinatorPorts) {
    this.#ports = ports
    this.feeds = new FeedShelf(options.feedCountMax)
    this.#voting = new Voting({ requestMs: options.requestMs }, ports)
    this.#execution = new Execution({ requestMs: options.requestMs }, ports, this.feeds)
    this.#audits = new Audits({ requestMs: options.requestMs }, ports)
    this.#settler = new Settler(ports)
    this.#loop = new JobLoop(options, {
      clock: ports.clock,
      journal: (job) => ports.store.commit([jobRow(job)]),
      perform: (job, effect, signal) => this.#perform(job, effect, signal).catch(retried),
      changed: (before, after) => {
        this.feeds.changed(before, after, ports.clock.nowMs())
        if (after.attempt > before.attempt) {
          this.#execution.renew(after.id)
          ports.preparations?.drop(after.id)
        }
        if (isStopped(after) && !isStopped(before)) this.#execution.halt(after.id)
        if (after.phase === 'settled') this.#execution.forget(after.id)
        if (BEFORE_OUTPUT.has(after.phase)) return
        this.#engaged.get(after.id)?.()
        this.#engaged.delete(after.id)
        ports.preparations?.drop(after.id)
        this.#execution.recall(after.id)
      },
      fatal: ports.fatal,
    })
  }

  get openCount(): number {
    return this.#loop.openCount
  }

  /** Takes up every job that the journal says is open, then keeps time until `stop`. */
  run(): Promise<void> {
    for (const { bytes } of this.#ports.store.openJobs()) {
      const job = parseJob(bytes)
      const streamed = 'streamed' in job ? (job.streamed ?? undefined) : undefined
      this.#openFeed(job, streamed)
      this.#engage(job)
      this.#loop.adopt(job)
    }
    return this.#loop.run()
  }

  stop(): void {
    this.#loop.stop()
    this.#execution.recall()
  }

  job(id: JobId): Job | undefined {
    const open = this.#loop.job(id)
    if (open !== undefined) return open
    const row = this.#ports.store.job(id)
    return row === undefined ? undefined : parseJob(row.bytes)
  }

  cancel(id: JobId): void {
    const job = this.#loop.job(id)
    if (job === undefined) return
    this.#loop.dispatch(id, { type: 'cancel' })
    this.#loop.dispatch(id, { type: 'stopped', stop: this.#execution.stop(id, job.attempt) })
  }

  /**
   * Turns a signed intent into a job: its money is held and it is journaled when this resolves.
   *
   * @param envelope  a sealed `intent`
   * @param inputs    body `job-inputs`: the words and seeds that it binds
   * @throws FabricError CF_IDENTITY_SIGNATURE_INVALID, CF_JOB_*, CF_LEDGER_*, CF_MODEL_UNKNOWN, CF_MODEL_UNSUPPORTED; nothing was written then
   */
  async submit(envelope: Uint8Array, inputs: Uint8Array): Promise<Submitted> {
    const { state, facts } = this.#ports
    this.#loop.admit()
    const opened = openAs(intentCodec, envelope, state().swarmId)
    if (opened.action !== 'accept') throw new FabricError('CF_IDENTITY_SIGNATURE_INVALID', { reason: opened.reason })
    const { value: intent, signer, body } = opened.value
    const fault = intentFault(intent)
    if (fault !== undefined) throw new FabricError('CF_JOB_INVALID', { field: fault })
    const model = facts(intent.modelDigest) ?? (await this.#summoned(intent.modelDigest))
    if (model === undefined) throw new FabricError('CF_MODEL_UNKNOWN')
    if (!isModelFor(intent, model)) throw new FabricError('CF_MODEL_UNSUPPORTED', { task: intent.task })
    const told = openJobInputs(intent, inputs)
    if (told.action !== 'accept') {
      const field = told.action === 'reject' && told.where === 'seeds' ? 'seeds' : 'payload'
      throw new FabricError('CF_JOB_INVALID', { field })
    }
    const id = jobIdOf(state().swarmId, body)
    const roster = await this.#needRoster()
    try {
      // In a swarm of one process its worker is here whoever is drawn.
      if (state().genesis.local && this.#canPay(signer, intent)) {
        this.#begin({ id, user: signer, intent }, told.value, [this.#ports.key.peer])
      }
      let job: AdmittedJob | undefined
      const hold = holdBody(this.#ports.key.peer, envelope)
      const applied = await this.#ports.ledger.append('hold', hold, (entry) => {
        job = this.#admitted({ id, user: signer, intent, intentEnvelope: envelope }, entry, roster)
        this.#begin(job, told.value, job.draw.ranked.slice(0, intent.replicas))
        return [jobRow(job), { table: 'payload', id, bytes: inputs }]
      })
      if (applied.status === 'refused') {
        if (applied.reason === 'job_exists') return { id, repeated: true }
        throw refusalError(applied)
      }
      if (job !== undefined) this.#adopt(await this.#inItsEpoch(job, applied))
      return { id, repeated: false }
    } finally {
      if (this.#loop.job(id) === undefined) this.#ports.preparations?.drop(id)
    }
  }

  async #summoned(modelDigest: Digest): Promise<ModelFacts | undefined> {
    await this.#ports.summon?.(modelDigest)
    return this.#ports.facts(modelDigest)
  }

  #engage({ id, phase, intent }: Job): void {
    const { engage } = this.#ports
    if (engage !== undefined && BEFORE_OUTPUT.has(phase)) this.#engaged.set(id, engage(intent.modelDigest))
  }

  #canPay(user: UserId, intent: Intent): boolean {
    const { state, clock } = this.#ports
    const account = state().accounts.get(userAccount(user))
    return (
      account !== undefined && spendable(account, BigInt(clock.nowMs())) >= quote(state().genesis.prices, intent).hold
    )
  }

  /** What is left until the first token is for the disk and the validators, and the engine need not wait for those. */
  #begin(
    { id, user, intent }: Pick<Job, 'id' | 'user' | 'intent'>,
    inputs: OpenInputs,
    workers: readonly PeerId[],
  ): void {
    this.#ports.preparations?.begin({ jobId: id, user, intent, ...inputs, workers })
  }

  #openFeed({ id, intent, attempt }: Job, streamed?: number): void {
    const isAlike = !isSplit(intent, seedsIn(this.#ports.store.payload(id)))
    this.feeds.open(id, intent.maxTokens, isAlike, streamed, attempt)
  }

  #adopt(job: Job): void {
    this.#openFeed(job)
    this.feeds.admitted(job, this.#ports.clock.nowMs())
    this.#engage(job)
    this.#loop.adopt(job)
    // A draw that is too small fails at once.
    if (job.draw.ranked.length < job.intent.replicas)
      this.#loop.dispatch(job.id, { type: 'tick', nowMs: this.#ports.clock.nowMs() })
  }

  /** Nobody can draw without it: better refused before the money is held than refunded after. @throws CF_ROSTER_UNKNOWN */
  async #needRoster(): Promise<RosterSnapshot> {
    const { state, rosters, clock } = this.#ports
    const signal = AbortSignal.timeout(ROSTER_MS)
    for (;;) {
      const { rosterRoot } = state()
      const roster = rosters.of(rosterRoot) ?? (await rosters.fetch(rosterRoot, signal))
      if (roster !== undefined) return roster
      // An epoch has just begun, and those who were asked had not heard of it either.
      if (signal.aborted) throw new FabricError('CF_ROSTER_UNKNOWN', { root: rosterRoot })
      await clock.sleep(ROSTER_RETRY_MS)
    }
  }

  /** @param roster  where that of a new epoch is not here yet; `#inItsEpoch` puts that right */
  #admitted(wish: Wish, applied: Applied, roster: RosterSnapshot): AdmittedJob {
    const { state, rosters } = this.#ports
    const logged = state().jobs.get(wish.id)
    const root = logged === undefined ? state().rosterRoot : epochOfJob(state(), logged).rosterRoot
    const hold = holdRecord(state(), applied, this.#ports.key.peer)
    return admitJob({ ...wish, hold, state: state(), roster: rosters.of(root) ?? roster })
  }

  /** An epoch may begin with the entry right before the hold: the job belongs to that one, and is drawn again. */
  async #inItsEpoch(job: AdmittedJob, applied: Applied): Promise<Job> {
    const { state, store, rosters } = this.#ports
    const { id, draw } = job
    const logged = state().jobs.get(id)
    const start = logged === undefined ? undefined : epochOfJob(state(), logged)
    if (start === undefined || (start.epoch === draw.epoch && start.rosterRoot === draw.rosterRoot)) return job
    const roster = await rosterOfJob(rosters, state(), id, AbortSignal.timeout(ROSTER_MS))
    const again = this.#admitted(job, applied, roster)
    await store.commit([jobRow(again)])
    return again
  }

  #perform(job: Job, effect: Effect, signal: AbortSignal): Promise<Performed> {
    switch (effect.type) {
      case 'offer':
        return this.#execution.offer(job, effect.peer, signal)
      case 'execute':
        return this.#execution.execute(job, effect, signal, (event) =>
          this.#loop.dispatch(job.id, event, false, job.attempt),
        )
      case 'reveal':
        return this.#execution.reveal(job, effect, signal)
      case 'vote-assignment':
        return this.#voting.assignment(job, signal)
      case 'vote-commit-set':
        return this.#voting.commitSet(job, signal)
      case 'audit':
        return this.#audits.collect(job, signal)
      case 'vote-findings':
        return this.#voting.findings(job, signal)
      case 'vote-settlement':
        return this.#voting.settlement(job, signal)
      case 'log-assignment':
        this.#execution.ahead(job)
        return this.#settler.logAssignment(job)
      case 'log-results':
        return this.#settler.logResults(job)
      case 'log-settlement':
      case 'expire':
        return this.#settler.logSettlement(job)
    }
  }
}

function isStopped(job: Job): boolean {
  return 'stop' in job && job.stop.length > 0
}

/** A full queue, a slow disk or a proposal that is out of date is the world's: the job tries again until its deadline. */
function retried(error: unknown): 'retry' {
  if (error instanceof FabricError && error.row.retry !== 'never') return 'retry'
  throw error
}

export function jobRow(job: Job): StoreWrite {
  return { table: 'job', id: job.id, phase: job.phase, createdMs: Number(job.hold.timeMs), bytes: encodeJob(job) }
}

function holdRecord(state: LogState, applied: Applied, edge: PeerId): HoldRecord {
  const hold = applied.transfers.find((transfer) => transfer.op === 'hold')
  if (hold === undefined) throw new FabricError('CF_LEDGER_REFUSED', { reason: 'no_hold' })
  const { index, previous, timeMs } = applied.entry
  return {
    edge,
    hash: applied.hash,
    index,
    previous,
    timeMs,
    deadlineMs: timeMs + BigInt(state.genesis.policy.jobMs),
    amount: hold.amount,
  }
}
