/**
 * The edge's part of disputes: it keeps what referees need until the window has closed, asks them, and brings their votes to a ruling.
 * Anybody's dispute about one of its jobs is its affair; what it owes is read from the log, so that a restart goes on where it was.
 */
import { FabricError } from '../../core/errors.ts'
import { sealAs } from '../../core/identity/envelope.ts'
import type { KeyPair } from '../../core/identity/keys.ts'
import type { JobId, PeerId } from '../../core/ids.ts'
import type { Job, SettledJob } from '../../core/job/job.ts'
import { parseJob } from '../../core/job/journal.ts'
import {
  checkRefereeVote,
  judgeRuling,
  refereeRequestCodec,
  refereesOf,
  rulingProposalCodec,
} from '../../core/job/judge-dispute.ts'
import { LIMITS } from '../../core/limits.ts'
import type { Applied } from '../../core/log/apply.ts'
import { abstainersOf } from '../../core/log/authority.ts'
import { disputeCodec } from '../../core/log/bodies.ts'
import { correctionEntryCodec } from '../../core/log/bodies-certified.ts'
import { replicaInputsOf } from '../../core/log/inputs.ts'
import type { LoggedDispute, LoggedJob, LogState } from '../../core/log/state.ts'
import type { DisputeClaim } from '../../core/verification/dispute.ts'
import type { DisputeView } from '../runtime/disputes.ts'
import type { Rosters } from '../runtime/mesh.ts'
import type { Clock, Ledger, PeerTransport, Random, Store } from '../runtime/ports.ts'
import { type Dissent, locate } from './dissent.ts'
import { rosterOfJob } from './job-roster.ts'
import { refusalError } from './refusals.ts'
import { sealFor } from './sealed.ts'
import { collectVotes, type VoteWatch } from './tallies.ts'
import { disputeView } from './view.ts'

export type DisputeOptions = {
  /** Deadline of one request to a validator. */
  readonly requestMs: number
  /** Deadline of one request to a referee, which computes an output. */
  readonly refereeMs: number
  readonly tickMs: number
  /** Disputes what auditors failed, so that its worker is slashed and not only unpaid. */
  readonly disputesFailed: boolean
}

export type DisputePorts = VoteWatch & {
  readonly key: KeyPair
  readonly transport: PeerTransport
  readonly store: Store
  readonly ledger: Ledger
  readonly clock: Clock
  readonly random: Random
  readonly state: () => LogState
  readonly rosters: Rosters
  /** A bug: the process ends. */
  readonly fatal: (error: unknown) => void
  /** A referee was outvoted: where it began to differ, or that it did not stand by what it had signed. */
  readonly onDissent: (dissent: Dissent) => void
  /** Whose jobs this node signs for; stakes its credit where the node has none. */
  readonly user?: KeyPair
  /** A failed replica that this edge wanted to dispute and could not, most often for want of credit for the bond. */
  readonly onUndisputed: (job: JobId, replica: number, code: string) => void
}

export type PartyKeys = { readonly user: KeyPair; readonly node: KeyPair }

/** Jobs whose words are kept; more are swept before their time, the oldest first. */
const KEPT_MAX = 4_096
/** Looked at in one tick. */
const BATCH = 64
/** Disputes that are brought to a ruling at once. */
const RULINGS_MAX = 8
/** Proposals of one ruling: the first that a quorum signs is logged. */
const ATTEMPTS_MAX = 64
/** Between two tries to open a dispute: earnings vest, and validators come back, while the words are still here. */
const RETRY_MS = 60_000
const AUDIT_FAILED = 'audit_failed'

export class DisputeDesk {
  readonly #options: DisputeOptions
  readonly #ports: DisputePorts
  /** Votes that referees have given, by dispute; asked again, they say the same. */
  readonly #votes = new Map<string, Map<PeerId, Uint8Array>>()
  readonly #attempts = new Map<string, number>()
  /** Jobs with work under way. */
  readonly #busy = new Set<JobId>()
  /** Failed replicas that this edge could not dispute in this run, and when it tries again. */
  readonly #retryMs = new Map<string, number>()
  /** Where the next look begins among the jobs that are due. */
  #turn = 0

  constructor(options: DisputeOptions, ports: DisputePorts) {
    this.#options = options
    this.#ports = ports
  }

  /** Works until the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock } = this.#ports
    while (!signal.aborted) {
      await this.tick(signal).catch(laterUnlessBug)
      await clock.sleep(this.#options.tickMs, signal).catch(() => {})
    }
  }

  /** Looks at every job whose words are still here: forgets what nobody can dispute any more, and goes on with what is disputed. */
  async tick(signal: AbortSignal): Promise<void> {
    const kept = this.#ports.store.keptPayloads(KEPT_MAX + BATCH)
    const crowded = kept.slice(0, Math.max(0, kept.length - KEPT_MAX))
    const over = kept.filter((id) => this.#isOver(id))
    const forgotten = [...new Set([...crowded, ...over])].slice(0, BATCH)
    await this.#ports.store.commit(forgotten.map((id) => ({ table: 'payload', id, bytes: new Uint8Array() }) as const))
    const due = kept.flatMap((id) => {
      const logged = this.#ports.state().jobs.get(id)
      return logged === undefined || forgotten.includes(id) || !this.#isDue(logged) ? [] : [logged]
    })
    // Some wait for referees who never answer: the next look begins behind those that this one takes.
    this.#turn = due.length === 0 ? 0 : (this.#turn + RULINGS_MAX) % due.length
    for (const logged of [...due.slice(this.#turn), ...due.slice(0, this.#turn)]) {
      const { id } = logged
      if (signal.aborted) return
      if (this.#busy.has(id) || this.#busy.size >= RULINGS_MAX) continue
      this.#busy.add(id)
      // Not waited for: one silent referee must not keep other jobs from theirs.
      this.#attend(logged, signal)
        .catch(laterUnlessBug)
        .catch(this.#ports.fatal)
        .finally(() => this.#busy.delete(id))
    }
  }

  /**
   * Opens a dispute.
   *
   * @param key  of whoever has a part in the job: its user, its edge or a worker
   * @throws FabricError CF_JOB_NOT_SETTLED, CF_JOB_DISPUTE_*, CF_LEDGER_INSUFFICIENT_CREDIT
   */
  async open(job: LoggedJob, replica: number, claim: DisputeClaim, key: KeyPair): Promise<LoggedDispute> {
    const { state, ledger } = this.#ports
    this.#checkRulable(job)
    if (job.settlement === null) throw new FabricError('CF_JOB_NOT_SETTLED', { job: job.id, phase: job.phase })
    const value = { jobId: job.id, attempt: job.attempt, replica, claim, number: job.disputes.length }
    const result = await ledger.append('dispute', sealAs(disputeCodec, value, state().swarmId, key))
    if (result.status === 'refused') throw refusalError(result)
    const opened = await this.#logged(job.id, result)
    if (opened === undefined) throw new FabricError('CF_LEDGER_REFUSED', { reason: 'dispute_unknown' })
    return opened
  }

  /** A bond must not be staked on what nobody will rule on. @throws FabricError CF_JOB_DISPUTE_REFUSED */
  #checkRulable({ id, edge, settlement }: LoggedJob): void {
    const { key, store, state } = this.#ports
    if (state().genesis.local) throw new FabricError('CF_JOB_DISPUTE_REFUSED', { reason: 'one_owner' })
    const isForgotten = edge === key.peer && settlement !== null && store.payload(id) === undefined
    if (isForgotten && !this.#isOver(id)) throw new FabricError('CF_JOB_DISPUTE_REFUSED', { reason: 'words_forgotten' })
  }

  /**
   * Opens it with that of a node's keys which has a part in the job.
   *
   * @throws FabricError CF_JOB_UNKNOWN; as `open`
   */
  async openAs(keys: PartyKeys, id: JobId, replica: number, claim: DisputeClaim): Promise<DisputeView> {
    const job = this.#ports.state().jobs.get(id)
    if (job === undefined) throw new FabricError('CF_JOB_UNKNOWN', { job: id })
    return disputeView(await this.open(job, replica, claim, partyKey(job, replica, claim, keys)))
  }

  /** The entry is durable; this node's own state may be a moment behind. */
  async #logged(id: JobId, { hash }: Applied): Promise<LoggedDispute | undefined> {
    const { clock, state } = this.#ports
    const endMs = clock.nowMs() + this.#options.requestMs
    for (;;) {
      const found = state()
        .jobs.get(id)
        ?.disputes.find((dispute) => dispute.hash === hash)
      if (found !== undefined || clock.nowMs() > endMs) return found
      await clock.sleep(LOOK_MS)
    }
  }

  /** Nobody can open a dispute any more, and none is open; a job that the log has trimmed is as good as that. */
  #isOver(id: JobId): boolean {
    const { state, clock } = this.#ports
    const job = state().jobs.get(id)
    if (job === undefined) return true
    if (job.settlement === null || job.disputes.some(({ outcome }) => outcome === null)) return false
    if (state().genesis.local) return true
    return BigInt(clock.nowMs()) > job.settlement.settledMs + BigInt(LIMITS.disputeWindowMs)
  }

  /** Most jobs are nobody's dispute: they must not take the place of those that are. */
  #isDue({ id, edge, settlement, disputes, findings }: LoggedJob): boolean {
    if (edge !== this.#ports.key.peer || settlement === null) return false
    if (disputes.some(({ outcome }) => outcome === null)) return true
    const isNew = (replica: number): boolean => !disputes.some((dispute) => dispute.replica === replica)
    return (
      this.#options.disputesFailed &&
      findings.some(({ replica, reason }) => reason === AUDIT_FAILED && isNew(replica) && !this.#isLater(id, replica))
    )
  }

  #isLater(id: JobId, replica: number): boolean {
    return (this.#retryMs.get(`${id}/${replica}`) ?? 0) > this.#ports.clock.nowMs()
  }

  async #attend(logged: LoggedJob, signal: AbortSignal): Promise<void> {
    const { store } = this.#ports
    const open = logged.disputes.find(({ outcome }) => outcome === null)
    if (open === undefined) return this.#disputeFailed(logged)
    const row = store.job(logged.id)
    const job: Job | undefined = row === undefined ? undefined : parseJob(row.bytes)
    // One after the other: corrections of a job are numbered, and a validator signs one of a number.
    if (job?.phase === 'settled') await this.#rule(job, logged, open, signal)
  }

  async #disputeFailed(job: LoggedJob): Promise<void> {
    for (const { replica, reason } of job.findings) {
      const name = `${job.id}/${replica}`
      const known = this.#isLater(job.id, replica) || job.disputes.some((dispute) => dispute.replica === replica)
      if (reason !== AUDIT_FAILED || known) continue
      const isFirst = !this.#retryMs.has(name)
      if (this.#retryMs.size >= KEPT_MAX) this.#retryMs.clear()
      this.#retryMs.set(name, this.#ports.clock.nowMs() + RETRY_MS)
      // Without the money for a bond, or with too few peers to judge, the finding stands as it is: until that changes.
      await this.#openForBond(job, replica).catch((error: unknown) => {
        laterUnlessBug(error)
        if (error instanceof FabricError && isFirst) this.#ports.onUndisputed(job.id, replica, error.code)
      })
      return
    }
  }

  /** What an edge has earned is no bond before it has vested: for a job of the node's own user the user's credit is. */
  async #openForBond(job: LoggedJob, replica: number): Promise<void> {
    const { key, user } = this.#ports
    try {
      await this.open(job, replica, 'reject', key)
    } catch (error) {
      const isPoor = error instanceof FabricError && error.code === 'CF_LEDGER_INSUFFICIENT_CREDIT'
      if (!isPoor || user === undefined || job.user !== user.peer) throw error
      await this.open(job, replica, 'reject', user)
    }
  }

  async #rule(job: SettledJob, logged: LoggedJob, dispute: LoggedDispute, signal: AbortSignal): Promise<void> {
    const { state, rosters, clock } = this.#ports
    const roster = await rosterOfJob(rosters, state(), logged.id, signal)
    const drawn = refereesOf(state(), roster, logged, dispute, job.audits)
    if (drawn.action !== 'accept') return
    const votes = await this.#ask(job, logged, dispute, drawn.value, signal)
    const attempt = this.#attempts.get(dispute.hash) ?? 0
    const proposal = {
      ...{ jobId: logged.id, dispute: dispute.hash, attempt, audits: job.audits },
      votes: drawn.value.flatMap((peer) => votes.get(peer) ?? []),
    }
    const bench = { self: undefined, state: state(), roster, nowMs: clock.nowMs(), facts: () => undefined }
    const judged = judgeRuling(bench, proposal)
    if (judged.action !== 'accept') return
    const { statement, body } = judged.value
    const { swarmId, validators: set } = state()
    const excluded = abstainersOf(state(), logged.workers[dispute.replica] ?? logged.edge)
    const { transport, onEvidence, onVote, onSplit } = this.#ports
    const won = await collectVotes(transport, {
      ...{ swarmId, set, type: 'vote/correction', body: rulingProposalCodec.encode(proposal) },
      ...{ topics: [{ topic: statement, excluded }], deadlineMs: this.#options.requestMs, signal },
      ...{ onEvidence, onVote, onSplit },
      // Reports name tokens of the output where they are doubted.
      sealFor: (peer, plain) => sealFor(this.#ports, peer, 'vote/correction', logged.id, plain).message,
    })
    const certified = won?.[0]
    if (certified === undefined || certified.digest !== statement.digest) {
      // Some may have signed other votes than these: the next try is another subject.
      this.#attempts.set(dispute.hash, Math.min(ATTEMPTS_MAX, attempt + 1))
      return
    }
    const found = await this.#dissent(logged, dispute, votes, signal)
    await this.#log(dispute, correctionEntryCodec.encode({ correction: body, attempt, ...certified.certificate }))
    if (found !== undefined) this.#ports.onDissent(found)
  }

  /** Asked before the ruling is logged: referees remember their margins for a while only. */
  #dissent(
    logged: LoggedJob,
    dispute: LoggedDispute,
    envelopes: ReadonlyMap<PeerId, Uint8Array>,
    signal: AbortSignal,
  ): Promise<Dissent | undefined> {
    const { transport, state } = this.#ports
    const votes = new Map(
      [...envelopes].flatMap(([peer, envelope]) => {
        const checked = checkRefereeVote(state(), logged, dispute, envelope)
        return checked.action === 'accept' ? [[peer, checked.value.value] as const] : []
      }),
    )
    return locate(transport, logged.id, dispute, votes, { deadlineMs: this.#options.requestMs, signal })
  }

  async #log(dispute: LoggedDispute, entry: Uint8Array): Promise<void> {
    const result = await this.#ports.ledger.append('correction', entry)
    // A repeat after a crash finds that the dispute has ended.
    if (result.status === 'refused' && result.reason !== 'correction_mismatch') return
    this.#votes.delete(dispute.hash)
    this.#attempts.delete(dispute.hash)
  }

  /** @returns the votes that are there, by referee; whoever was silent is asked again the next time */
  async #ask(
    job: SettledJob,
    logged: LoggedJob,
    dispute: LoggedDispute,
    drawn: readonly PeerId[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<PeerId, Uint8Array>> {
    const { transport, store, state } = this.#ports
    const votes = this.#votes.get(dispute.hash) ?? new Map<PeerId, Uint8Array>()
    this.#votes.set(dispute.hash, votes)
    const replica = job.replicas[dispute.replica]
    const body = refereeRequestCodec.encode({
      ...{ jobId: logged.id, dispute: dispute.hash, audits: job.audits },
      commitment: replica !== undefined && 'commitment' in replica ? replica.commitment : new Uint8Array(),
      reveal: replica?.state === 'revealed' ? replica.reveal : new Uint8Array(),
      inputs: replicaInputsOf(store.payload(logged.id), dispute.replica),
    })
    const silent = drawn.filter((peer) => !votes.has(peer))
    await Promise.all(
      silent.map(async (peer) => {
        const options = { deadlineMs: this.#options.refereeMs, signal }
        const { message } = sealFor(this.#ports, peer, 'dispute/referee', logged.id, body)
        const vote = await transport.request(peer, 'dispute/referee', message, options).catch((error: unknown) => {
          if (error instanceof FabricError || signal.aborted) return undefined
          throw error
        })
        const checked = vote === undefined ? undefined : checkRefereeVote(state(), logged, dispute, vote)
        if (vote !== undefined && checked?.action === 'accept' && checked.value.signer === peer) votes.set(peer, vote)
      }),
    )
    return votes
  }
}

const LOOK_MS = 10

/**
 * With which of a node's keys a dispute is opened: that of the worker who defends its own output, else the user's who paid, else the
 * node's, as edge or as worker.
 */
function partyKey(job: LoggedJob, replica: number, claim: DisputeClaim, { user, node }: PartyKeys): KeyPair {
  if (claim === 'accept' && job.workers[replica] === node.peer) return node
  return job.user === user.peer ? user : node
}

function laterUnlessBug(error: unknown): void {
  if (!(error instanceof FabricError)) throw error
}
