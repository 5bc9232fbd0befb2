/** Writes what was certified into the region log; the job's own row goes into the same transaction. */
import { sealAs } from '../../core/identity/envelope.ts'
import type { Job, JobEvent, SettledJob } from '../../core/job/job.ts'
import { assignmentOf, step } from '../../core/job/machine.ts'
import { outputOf, receiptOf } from '../../core/job/receipting.ts'
import { CHOSEN_NONE, settlementCodec } from '../../core/ledger/settlement.ts'
import type { Applied } from '../../core/log/apply.ts'
import { assignmentEntryCodec, resultEntryCodec, settlementEntryCodec } from '../../core/log/bodies-certified.ts'
import { epochOfJob } from '../../core/log/epochs.ts'
import type { Refused } from '../../core/log/refusal.ts'
import { expiryOf } from '../../core/log/settling.ts'
import type { LoggedJob } from '../../core/log/state.ts'
import { epochPartOf, FIRST_EPOCH } from '../../core/receipt/epoch.ts'
import { type Receipt, receiptFileCodec } from '../../core/receipt/receipt.ts'
import type { Performed } from '../runtime/loop.ts'
import type { StoreWrite } from '../runtime/ports.ts'
import { type CoordinatorPorts, jobRow } from './coordinator.ts'
import { refundReason } from './voting.ts'

const NOTHING: Performed = { events: [], journaled: false }

type Unsettled = Extract<Job, { phase: 'verified' | 'disputed' | 'failed' }>

export class Settler {
  readonly #ports: CoordinatorPorts

  constructor(ports: CoordinatorPorts) {
    this.#ports = ports
  }

  async logAssignment(job: Job): Promise<Performed> {
    if (job.phase !== 'assigned') return NOTHING
    const { jobId, attempt, workers, answersDigest, commitByMs, revealByMs, overlapping } = assignmentOf(job.assignment)
    const entry = { jobId, attempt, workers, answersDigest, commitByMs, revealByMs, overlapping, ...job.certificate }
    const event: JobEvent = { type: 'assignment-logged' }
    const result = await this.#ports.ledger.append('assignment', assignmentEntryCodec.encode(entry), () => [
      jobRow(step(job, event)),
    ])
    if (result.status === 'applied') return { events: [event], journaled: true }
    // A repeat after a crash finds its own entry in the log.
    const logged = this.#logged(job)
    return logged?.phase === 'assigned' && logged.attempt === job.attempt
      ? { events: [event], journaled: false }
      : 'retry'
  }

  /** One entry per replica; they share a group commit. */
  async logResults(job: Job): Promise<Performed> {
    if (job.phase !== 'verified' && job.phase !== 'disputed') return NOTHING
    const known = new Set(this.#logged(job)?.findings.map(({ replica }) => replica))
    const due = job.findings.filter((_, replica) => !known.has(replica))
    const results = await Promise.all(
      due.map(({ body, certificate }) =>
        this.#ports.ledger.append('result', resultEntryCodec.encode({ finding: body, ...certificate })),
      ),
    )
    const done = results.every((result) => result.status === 'applied' || result.reason === 'finding_repeated')
    return done ? { events: [{ type: 'results-logged' }], journaled: false } : 'retry'
  }

  /** The last entry of a job: its row and its receipt come with it, and in a local swarm the end of its payload. */
  async logSettlement(job: Job): Promise<Performed> {
    if (job.phase !== 'verified' && job.phase !== 'disputed' && job.phase !== 'failed') return NOTHING
    const logged = this.#logged(job)
    if (logged === undefined) return 'retry'
    if (logged.phase === 'settled') return this.#alreadySettled(job, logged)
    const expiry = job.phase === 'failed' && job.expired
    const chosen = job.phase === 'failed' ? null : job.chosen
    const event = this.#settledEvent(job, logged, expiry)
    if (event === undefined) return 'retry'
    const entry = settlementEntryCodec.encode({
      jobId: job.id,
      attempt: expiry ? 0 : job.attempt,
      outcome: event.outcome,
      reason: expiry ? 'deadline' : refundReason(job, chosen),
      chosen: expiry ? CHOSEN_NONE : (chosen ?? CHOSEN_NONE),
      authority: expiry ? 'expiry' : 'certificate',
      ...(event.certificate ?? { bitmap: 0, signatures: new Uint8Array() }),
    })
    const result: Applied | Refused = await this.#ports.ledger.append('settlement', entry, () =>
      this.#closing(step(job, event)),
    )
    if (result.status === 'applied') return { events: [event], journaled: true }
    return 'retry'
  }

  /** The log has the last word, also when this edge meanwhile thought that the time was up. */
  async #alreadySettled(job: Unsettled, logged: LoggedJob): Promise<Performed> {
    const event = this.#settledEvent(job, logged, logged.settlement?.authority === 'expiry')
    if (event === undefined || logged.settlement === null) return 'retry'
    const settled = { ...event, outcome: logged.settlement.outcome }
    await this.#ports.store.commit(this.#closing(step(job, settled)))
    return { events: [settled], journaled: true }
  }

  #settledEvent(
    job: Unsettled,
    logged: LoggedJob,
    expiry: boolean,
  ): (JobEvent & { readonly type: 'settlement-logged' }) | undefined {
    if (expiry) {
      const body = settlementCodec.encode(expiryOf(this.#ports.state(), logged))
      return { type: 'settlement-logged', outcome: 'refunded', body, certificate: null }
    }
    const { settlement } = job
    if (settlement === null) return undefined
    const outcome = job.phase !== 'failed' && job.chosen !== null ? 'paid' : 'refunded'
    return { type: 'settlement-logged', outcome, body: settlement.body, certificate: settlement.certificate }
  }

  #closing(job: Job): readonly StoreWrite[] {
    if (job.phase !== 'settled') return []
    const { state, key } = this.#ports
    const { genesis, swarmId } = state()
    const file = { receipt: receiptOf(job, genesis.bytes, this.#epochOf(job)), output: outputOf(job) }
    return [
      jobRow(job),
      { table: 'receipt', id: job.id, bytes: sealAs(receiptFileCodec, file, swarmId, key) },
      // Where one person owns everything nobody disputes; elsewhere referees need the words until the window has closed (disputes.ts).
      ...(genesis.local ? [{ table: 'payload', id: job.id, bytes: new Uint8Array() } as const] : []),
    ]
  }

  /** The certified draw behind the job; the edge drew from this roster, so that it has it. */
  #epochOf(job: SettledJob): Receipt['epoch'] {
    const { state, key, rosters } = this.#ports
    const { draw, certificate, assignment } = job
    const start = epochOfJob(state(), draw)
    const roster = rosters.of(start.rosterRoot)
    const workers = certificate === null ? [] : assignmentOf(assignment).workers
    return roster === undefined ? FIRST_EPOCH : epochPartOf(start, roster, [key.peer, ...workers])
  }

  #logged(job: Job): LoggedJob | undefined {
    return this.#ports.state().jobs.get(job.id)
  }
}
