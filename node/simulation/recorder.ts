/** Notes what happens in a simulation, for its report: nothing in the simulation depends on it. */
import type { JobId, PeerId } from '../../core/ids.ts'
import { findingsBodies } from '../../core/job/choice.ts'
import type { Job, SettledJob } from '../../core/job/job.ts'
import { settlementCodec } from '../../core/ledger/settlement.ts'
import type { Applied } from '../../core/log/apply.ts'
import type { Certificate } from '../../core/quorum/certificate.ts'
import type { PeerKind } from '../runtime/simulation.ts'
import type { VoteChecker } from './check-votes.ts'
import type { Wish } from './wish.ts'

export type Ending = {
  readonly outcome: 'paid' | 'refunded' | 'refused'
  readonly reason: string
  readonly submittedMs: number
  readonly atMs: number
}
export type Earning = { readonly atMs: number; readonly kind: PeerKind; readonly amount: bigint }
export type CertificateNote = Pick<Certificate, 'statement' | 'bitmap'>

/** What is kept of a job that the report lists. */
export type JobNote = {
  readonly wish: Wish
  readonly submittedMs: number
  ending: Ending | undefined
  job: Job | undefined
  readonly certificates: CertificateNote[]
}

export type RecorderOptions = {
  /** Jobs that are listed. */
  readonly notesMax: number
  readonly kindOf: (peer: PeerId) => PeerKind | undefined
  readonly nowMs: () => number
}

/** How often each name was counted. */
export class Tallies {
  readonly #counts = new Map<string, number>()

  count(name: string): void {
    this.#counts.set(name, (this.#counts.get(name) ?? 0) + 1)
  }

  /** In order of name, so that equal counts are equal texts. */
  get counts(): Readonly<Record<string, number>> {
    return Object.fromEntries([...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1)))
  }
}

export class Recorder {
  signatures = 0
  retries = 0
  evidence = 0
  admittedCount = 0
  readonly offers = new Tallies()
  readonly certificates = new Tallies()
  readonly chosen = new Tallies()
  readonly liarsByAssurance = new Tallies()
  readonly lost = new Tallies()
  readonly verdicts = new Map<PeerKind, Tallies>()
  readonly endings: Ending[] = []
  readonly earnings: Earning[] = []
  /** How often each peer was ranked first. */
  readonly firsts = new Map<PeerId, number>()
  /** By job. */
  readonly notes = new Map<string, JobNote>()
  readonly #options: RecorderOptions
  /** Of jobs that have not ended. */
  readonly #submitted = new Map<JobId, number>()

  constructor(options: RecorderOptions) {
    this.#options = options
  }

  submitted(wish: Wish): void {
    const submittedMs = this.#options.nowMs()
    this.#submitted.set(wish.id, submittedMs)
    if (this.notes.size < this.#options.notesMax)
      this.notes.set(wish.id, { wish, submittedMs, ending: undefined, job: undefined, certificates: [] })
  }

  offered(answer: string): void {
    this.offers.count(answer)
  }

  refused(id: JobId, reason: string): void {
    this.#ended(id, 'refused', reason)
  }

  admitted(job: Job): void {
    this.admittedCount += 1
    const [first] = job.draw.ranked
    if (first !== undefined) this.firsts.set(first, (this.firsts.get(first) ?? 0) + 1)
    this.#note(job)
  }

  became(job: Job): void {
    this.#note(job)
    if (job.phase === 'settled') this.#settled(job)
  }

  certified({ statement, bitmap }: Certificate, checker: VoteChecker): void {
    checker.certified(statement)
    this.certificates.count(statement.kind)
    this.notes.get(statement.subject)?.certificates.push({ statement, bitmap })
  }

  /** Follows earned credit by the kind of who earned it. */
  logged({ transfers }: Applied): void {
    for (const { op, nodeId, amount } of transfers) {
      const kind = op === 'post' && nodeId !== null ? this.#options.kindOf(nodeId) : undefined
      if (kind !== undefined) this.earnings.push({ atMs: this.#options.nowMs(), kind, amount })
    }
  }

  #note(job: Job): void {
    const note = this.notes.get(job.id)
    if (note !== undefined) note.job = job
  }

  #settled(job: SettledJob): void {
    for (const replica of job.replicas) if (replica.state === 'lost') this.lost.count(replica.reason)
    for (const { worker, verdict } of findingsBodies(job.findings)) {
      const kind = this.#options.kindOf(worker) ?? 'honest'
      const tallies = this.verdicts.get(kind) ?? new Tallies()
      this.verdicts.set(kind, tallies)
      tallies.count(verdict)
    }
    this.#countChosen(job)
    this.#ended(job.id, job.outcome, job.reason)
  }

  #countChosen({ chosen, replicas, settlement }: SettledJob): void {
    const worker = chosen === null ? undefined : replicas[chosen]?.worker
    if (worker === undefined) return
    const kind = this.#options.kindOf(worker) ?? 'honest'
    this.chosen.count(kind)
    const body = settlementCodec.decode(settlement.body)
    if (kind === 'liar' && body.action === 'accept') this.liarsByAssurance.count(body.value.assurance)
  }

  #ended(id: JobId, outcome: Ending['outcome'], reason: string): void {
    const atMs = this.#options.nowMs()
    const ending = { outcome, reason, submittedMs: this.#submitted.get(id) ?? atMs, atMs }
    this.#submitted.delete(id)
    this.endings.push(ending)
    const note = this.notes.get(id)
    if (note !== undefined) note.ending = ending
  }
}
