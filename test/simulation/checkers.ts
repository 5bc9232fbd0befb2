/** What must hold in every run, asked after every log entry, vote, step and restart, and once more at the end. */
import type { JobId, PeerId } from '../../core/ids.ts'
import { findingsBodies } from '../../core/job/choice.ts'
import { effectKey, type Job, PHASES, type Phase } from '../../core/job/job.ts'
import { encodeJob, parseJob } from '../../core/job/journal.ts'
import { owed } from '../../core/job/owed.ts'
import { type Applied, auditBooks, replay } from '../../core/log/apply.ts'
import { abstainersOf } from '../../core/log/authority.ts'
import type { Genesis } from '../../core/log/genesis.ts'
import { createState, type LogState } from '../../core/log/state.ts'
import { type Statement, subjectKey, type Vote } from '../../core/quorum/vote.ts'
import { verifyReceiptFile } from '../../core/receipt/verify.ts'
import type { Prng } from '../../node/simulation/prng.ts'
import type { BugName } from './bugs.ts'
import type { Coverage } from './coverage.ts'
import { Payments } from './payments.ts'
import { violated } from './violation.ts'
import { nameOf } from './world.ts'

type Journaled = { readonly phase: Phase; readonly due: string }

export type CheckerOptions = {
  readonly genesis: Genesis
  readonly bug: BugName | undefined
  readonly coverage: Coverage
  readonly prng: Prng
  /** How a worker has been told to behave. */
  readonly workerKind: (peer: PeerId) => string
}

export class Checkers {
  readonly #options: CheckerOptions
  readonly #payments = new Payments()
  readonly #holds = new Map<string, JobId>()
  /** subject -> digest -> everybody who has signed that, whether or not the vote ever arrived. */
  readonly #votes = new Map<string, Map<string, Set<PeerId>>>()
  readonly #certified = new Map<string, string>()
  /** The state that an edge acts on, then those whose write may or may not outlive a crash. */
  readonly #journaled = new Map<string, readonly Journaled[]>()
  readonly #names = new Map<string, string>()
  #receiptCount = 0

  constructor(options: CheckerOptions) {
    this.#options = options
  }

  /** Short names in the order of the jobs' holds: hashes make no readable trace. */
  jobName(id: string): string {
    const name = this.#names.get(id) ?? `job${this.#names.size + 1}`
    this.#names.set(id, name)
    return name
  }

  applied(applied: Applied, after: LogState): void {
    const books = auditBooks(after)
    if (books.total !== 0n) violated('money-conserved', `the books sum to ${books.total} after ${applied.kind}`)
    this.#payments.applied(applied, after)
    if (applied.kind === 'hold' && applied.jobId !== null) this.#held(applied.jobId, after)
  }

  /** A vote leaves its validator: from here on it can count. */
  voteSent(vote: Vote, isHonest: boolean, state: LogState): void {
    const { voter, statement } = vote
    const byDigest = this.#votes.get(subjectKey(statement)) ?? new Map<string, Set<PeerId>>()
    this.#votes.set(subjectKey(statement), byDigest)
    const others = [...byDigest].filter(([digest, voters]) => digest !== statement.digest && voters.has(voter))
    if (others.length > 0) {
      if (isHonest) violated('one-vote-per-subject', `${nameOf(voter)} signed twice: ${describe(statement)}`)
      this.#options.coverage.count('equivocation')
    }
    byDigest.set(statement.digest, (byDigest.get(statement.digest) ?? new Set()).add(voter))
    const excluded = statement.kind === 'finding' ? this.#excluded(statement, state) : []
    const quorums = [...byDigest].filter(
      ([, voters]) => [...voters].filter((peer) => !excluded.includes(peer)).length >= state.validators.quorum,
    )
    if (quorums.length > 1) violated('one-certificate', `two digests could be certified: ${describe(statement)}`)
  }

  certificateFormed(statement: Statement): void {
    const key = subjectKey(statement)
    const earlier = this.#certified.get(key)
    if (earlier !== undefined && earlier !== statement.digest)
      violated('one-certificate', `two certificates: ${describe(statement)}`)
    this.#certified.set(key, statement.digest)
    this.#options.coverage.count(`certificate: ${statement.kind}`)
  }

  stepped(before: Job, after: Job): void {
    if (after.attempt === before.attempt && PHASES.indexOf(after.phase) < PHASES.indexOf(before.phase))
      violated('phases-go-down', `${before.phase} became ${after.phase}`)
  }

  /** An honest edge has its findings: honest outputs stand, and no lie passes. */
  judged(job: Job & { phase: 'verified' }): void {
    for (const { replica, worker, verdict, reason } of findingsBodies(job.findings)) {
      const kind = this.#options.workerKind(worker)
      this.#options.coverage.count(`finding of ${kind}: ${verdict}, ${reason}`)
      const isShown = job.replicas[replica]?.state === 'revealed'
      if (kind === 'honest' && isShown && verdict === 'fail')
        violated('honest-work-stands', `${nameOf(worker)} was honest and fails: ${reason}`)
      const { task, replicas } = job.intent
      // Another text's vectors are like nobody's, and so never like a majority's.
      if (task === 'embedding' && kind === 'diverging' && replicas > 1 && verdict === 'pass')
        violated('no-lie-passes', `${nameOf(worker)} embedded another text and passes`)
      // Cut short on request, what was wrong at the end of an output is gone.
      const isLie = kind === 'lying' || (job.stop.length === 0 && (kind === 'sloppy' || kind === 'lazy'))
      if (isLie && verdict !== 'fail') violated('no-lie-passes', `${nameOf(worker)} is ${kind} and gets ${verdict}`)
    }
  }

  /** A write begins: a crash may keep it or lose it. */
  journaling(edge: string, job: Job): void {
    const due = dueOf(job)
    if (dueOf(parseJob(encodeJob(job))) !== due)
      violated('owed-survives', `${edge} would owe other work after a restart in ${job.phase}`)
    const key = `${edge}/${job.id}`
    this.#journaled.set(key, [...(this.#journaled.get(key) ?? []), { phase: job.phase, due }])
  }

  /** The write is on disk and the edge acts on it from now on: a restart may not fall behind it. */
  journaled(edge: string, job: Job): void {
    this.#journaled.set(`${edge}/${job.id}`, [{ phase: job.phase, due: dueOf(job) }])
  }

  /** A job as an edge finds it on its disk after a crash. */
  restarted(edge: string, job: Job): void {
    this.#options.coverage.count(`restart in ${job.phase}`)
    const found = { phase: job.phase, due: dueOf(job) }
    const known = this.#journaled.get(`${edge}/${job.id}`) ?? []
    if (!known.some(({ phase, due }) => phase === found.phase && due === found.due)) {
      violated('owed-survives', `${edge} finds ${found.phase} owing ${found.due} after a restart, which it never wrote`)
    }
    this.#journaled.set(`${edge}/${job.id}`, [found])
  }

  /** @param file  as an edge hands it out */
  receipt(file: Uint8Array, job: Job & { phase: 'settled' }, state: LogState): void {
    const { genesis, bug, coverage, prng } = this.#options
    // The verifier counts quorums by the genesis: in that swarm everybody would have the same wrong rule.
    if (bug === 'quorum-f-plus-1') return
    const roots = new Set([genesis.swarmId])
    const verdict = verifyReceiptFile(file, { roots })
    if (verdict.status !== 'valid') {
      const { where, reason } = verdict.status === 'invalid' ? verdict : { where: 'root', reason: 'unknown' }
      violated('receipts-verify', `${this.jobName(job.id)} (${job.outcome}, ${job.reason}): ${where}: ${reason}`)
    }
    const logged = state.jobs.get(job.id)?.settlement
    const { outcome, cost, refund } = verdict.facts.settlement
    if (logged?.outcome !== outcome || logged.cost !== cost || logged.refund !== refund)
      violated('receipts-verify', 'a receipt says other than the log')
    coverage.count(`receipt: ${outcome}`)
    this.#receiptCount += 1
    if (this.#receiptCount > 1) return
    const changed = file.slice()
    const place = prng.below(changed.length)
    changed[place] = (changed[place] ?? 0) ^ (1 << prng.below(8))
    if (verifyReceiptFile(changed, { roots }).status === 'valid')
      violated('receipts-verify', `byte ${place} of a receipt can be changed`)
    coverage.count('changed receipt refused')
  }

  /** Everything is healed and every deadline has passed. */
  atEnd(state: LogState, entries: readonly Uint8Array[]): void {
    for (const [id, job] of state.jobs.entries()) {
      if (job.phase !== 'settled') violated('jobs-settle', `${this.jobName(id)} is ${job.phase} at the end`)
    }
    this.#payments.atEnd(state)
    if (this.#options.bug !== undefined) return
    const again = createState(this.#options.genesis)
    if (replay(again, entries).status !== 'ok') violated('log-replays', 'the log does not replay')
    if (again.head.hash !== state.head.hash || auditBooks(again).mint !== auditBooks(state).mint)
      violated('log-replays', 'a replay ends elsewhere')
  }

  #held(id: JobId, state: LogState): void {
    const job = state.jobs.get(id)
    const nonce = [...state.nonces.entries()].find(([, jobId]) => jobId === id)?.[0]
    if (job === undefined || nonce === undefined) violated('one-job-per-nonce', 'a hold leaves no job or no nonce')
    const earlier = this.#holds.get(nonce)
    if (earlier !== undefined)
      violated('one-job-per-nonce', `a nonce made ${this.jobName(earlier)} and ${this.jobName(id)}`)
    this.#holds.set(nonce, id)
  }

  #excluded(statement: Statement, state: LogState): readonly PeerId[] {
    const job = [...state.jobs.entries()].find(([id]) => id === statement.subject)?.[1]
    const worker = job?.workers[statement.index]
    return worker === undefined ? [] : abstainersOf(state, worker)
  }
}

function describe({ kind, index }: Statement): string {
  return `${kind} ${index}`
}

function dueOf(job: Job): string {
  return owed(job).map(effectKey).join()
}
