/**
 * The job machine: `step(job, event) -> job`, pure. What must be done follows from the state alone (`owed`), so recovery after a
 * crash is no second code path. An event that does not fit is ignored: every message may come twice, late or never.
 */

import type { PeerId, SwarmId } from '../ids.ts'
import { invariant, unreachable } from '../invariant.ts'
import { REASON_PAID } from '../ledger/settlement.ts'
import { type Assignment, answersDigest, assignmentCodec } from '../log/assignment.ts'
import type { CompactCertificate } from '../quorum/certificate.ts'
import { type Closeness, chooseOutput, findingsBodies, revealedOutput } from './choice.ts'
import type {
  AdmittedJob,
  AnswerRecord,
  Certified,
  CommittedJob,
  Earlier,
  ExecutingJob,
  FailedJob,
  FailureReason,
  Job,
  JobEvent,
  ProposedJob,
  Replica,
} from './job.ts'
import { NEXT_PHASE } from './phases.ts'

/** @returns the same object when the event changes nothing */
export function step(job: Job, event: JobEvent): Job {
  const next = apply(job, event)
  const isAgain = next.phase === 'admitted' && next.attempt === job.attempt + 1
  invariant(
    isAgain || next.phase === job.phase || next.phase === 'failed' || next.phase === NEXT_PHASE[job.phase][event.type],
    `phase ${job.phase} may not become ${next.phase} by ${event.type}`,
  )
  return next
}

function apply(job: Job, event: JobEvent): Job {
  if (job.phase === 'settled') return job
  if (event.type === 'settlement-logged') return settled(job, event)
  if (event.type === 'tick') return tick(job, event.nowMs)
  switch (job.phase) {
    case 'admitted':
      return stepAdmitted(job, event)
    case 'proposed':
      return event.type === 'assignment-certified' ? { ...job, phase: 'assigned', certificate: event.certificate } : job
    case 'assigned':
      return event.type === 'assignment-logged' ? startReplicas(job) : job
    case 'executing':
      return stepExecuting(job, event)
    case 'committed':
      return stepCommitted(job, event)
    case 'revealed':
      if (event.type === 'delivered') return { ...job, delivery: event.delivery }
      if (event.type === 'audited') return { ...job, phase: 'audited', audits: event.audits }
      return event.type === 'found' ? verify(job, event) : job
    case 'audited':
      if (event.type === 'delivered') return { ...job, delivery: event.delivery }
      return event.type === 'found' ? verify(job, event) : job
    case 'verified':
      // What witnesses saw may come later than the findings do.
      if (event.type === 'delivered') return { ...job, delivery: event.delivery }
      if (event.type === 'disputed')
        return event.findings.length === job.replicas.length
          ? { ...judged(job, event.findings, job.closeness), phase: 'disputed' }
          : job
      return stepSettling(job, event)
    case 'disputed':
    case 'failed':
      return stepSettling(job, event)
    default:
      return unreachable(job)
  }
}

function stepAdmitted(job: AdmittedJob, event: JobEvent): Job {
  if (event.type === 'cancel') return fail(job, 'cancelled')
  if (event.type !== 'answered' && event.type !== 'silent') return job
  if (!job.draw.ranked.includes(event.peer) || job.answers.some((answer) => answer.peer === event.peer)) return job
  const answer: AnswerRecord =
    event.type === 'answered'
      ? { peer: event.peer, answer: event.answer, envelope: event.envelope }
      : { peer: event.peer, answer: 'silent', envelope: new Uint8Array() }
  return propose({ ...job, answers: [...job.answers, answer] }, event.nowMs)
}

/** The first R accepting peers in rank order work, once everybody ranked above the last of them has answered. */
function propose(job: AdmittedJob, nowMs: number): Job {
  const byPeer = new Map(job.answers.map((answer) => [answer.peer, answer]))
  const heard: AnswerRecord[] = []
  const workers: PeerId[] = []
  for (const peer of job.draw.ranked) {
    const answer = byPeer.get(peer)
    if (answer === undefined) return job
    heard.push(answer)
    if (answer.answer === 'accept') workers.push(peer)
    if (workers.length === job.intent.replicas) break
  }
  if (workers.length < job.intent.replicas) return again(job, 'no_workers')
  const envelopes = heard.map((answer) => answer.envelope).filter((envelope) => envelope.length > 0)
  // Answers that come late leave less time to work: validators refuse an assignment that outlives its hold.
  const latestMs = job.hold.deadlineMs - BigInt(job.timing.revealMs)
  const wishedMs = BigInt(nowMs + job.timing.commitMs)
  const commitByMs = wishedMs < latestMs ? wishedMs : latestMs
  if (commitByMs <= BigInt(nowMs)) return fail(job, job.earlier === null ? 'no_workers' : 'all_replicas_lost')
  const assignment = assignmentCodec.encode({
    jobId: job.id,
    attempt: job.attempt,
    epoch: job.draw.epoch,
    rosterRoot: job.draw.rosterRoot,
    beacon: job.draw.beacon,
    holdHash: job.hold.hash,
    workers,
    answersDigest: answersDigest(job.swarmId as SwarmId, envelopes),
    commitByMs,
    revealByMs: commitByMs + BigInt(job.timing.revealMs),
    overlapping: workers.some((worker) => job.timing.validators.includes(worker)),
  })
  return { ...job, phase: 'proposed', answers: heard, assignment }
}

function startReplicas(job: Job & { phase: 'assigned' }): Job {
  const replicas = workersOf(job.assignment).map((worker): Replica => ({ state: 'running', worker }))
  return { ...job, phase: 'executing', replicas, streamed: null, stop: new Uint8Array(), delivery: new Uint8Array() }
}

function stepExecuting(job: ExecutingJob, event: JobEvent): Job {
  switch (event.type) {
    case 'streaming':
      return heard(job, event.replica)
    case 'stopped':
      return job.stop.length === 0 ? { ...job, stop: event.stop } : job
    case 'delivered':
      return { ...job, delivery: event.delivery }
    case 'committed':
      return closeExecution(
        replace(job, event.replica, ['running'], (worker) => ({
          state: 'committed',
          worker,
          commitment: event.commitment,
        })),
      )
    case 'lost': {
      const left = replace(job, event.replica, ['running'], (worker) => ({
        state: 'lost',
        worker,
        reason: event.reason,
      }))
      return event.stranded === true && left !== job ? again(left, 'all_replicas_lost') : closeExecution(left)
    }
    default:
      return job
  }
}

/** The client hears one replica until that one is lost. */
function heard<T extends ExecutingJob | CommittedJob>(job: T, replica: number): T {
  const isFree = job.streamed === null || job.replicas[job.streamed]?.state === 'lost'
  return isFree && job.replicas[replica] !== undefined ? { ...job, streamed: replica } : job
}

/** Nobody reveals before everybody has committed or is out: an answer cannot be copied after it was seen. */
function closeExecution(job: ExecutingJob): Job {
  if (job.replicas.some((replica) => replica.state === 'running')) return job
  if (job.replicas.every((replica) => replica.state === 'lost')) return again(job, 'all_replicas_lost')
  const commitments = job.replicas.map((replica) => ('commitment' in replica ? replica.commitment : new Uint8Array()))
  return { ...job, phase: 'committed', commitSet: job.timing.witnessed ? { commitments, certificate: null } : null }
}

function stepCommitted(job: CommittedJob, event: JobEvent): Job {
  if (event.type === 'delivered') return { ...job, delivery: event.delivery }
  if (event.type === 'streaming') return heard(job, event.replica)
  if (event.type === 'lost')
    return closeReveals(
      replace(job, event.replica, ['committed'], (worker) => ({ state: 'lost', worker, reason: event.reason })),
    )
  if (event.type === 'commit-set-certified') return witness(job, event.certificate)
  if (event.type !== 'revealed' || job.commitSet?.certificate === null) return job
  const commitment = job.replicas[event.replica]
  if (commitment?.state !== 'committed') return job
  return closeReveals(
    replace(job, event.replica, ['committed'], (worker) => ({
      state: 'revealed',
      worker,
      commitment: commitment.commitment,
      reveal: event.reveal,
      timelines: event.timelines ?? [],
    })),
  )
}

/** From here on nobody can say that it committed to something else, or to nothing. */
function witness(job: CommittedJob, certificate: CompactCertificate): CommittedJob {
  const { commitSet } = job
  return commitSet?.certificate === null ? { ...job, commitSet: { ...commitSet, certificate } } : job
}

function closeReveals(job: CommittedJob): Job {
  if (job.replicas.some((replica) => replica.state === 'committed')) return job
  if (job.replicas.every((replica) => replica.state === 'lost')) return again(job, 'all_replicas_lost')
  return { ...job, phase: 'revealed' }
}

function verify(job: Job & { phase: 'revealed' | 'audited' }, event: JobEvent & { type: 'found' }): Job {
  if (event.findings.length !== job.replicas.length) return job
  return { ...judged(job, event.findings, event.closeness ?? null), phase: 'verified' }
}

/** Findings choose the output; whatever was logged or certified under other findings is owed anew. */
function judged(
  job: Job & { phase: 'revealed' | 'audited' | 'verified' },
  findings: readonly Certified[],
  closeness: Closeness | null,
) {
  const outputs = job.replicas.map((replica) =>
    revealedOutput(replica.state === 'revealed' ? replica.reveal : undefined),
  )
  const chosen = chooseOutput(job.intent, job.streamed, findingsBodies(findings), outputs, closeness)
  const audits = 'audits' in job ? job.audits : []
  return { ...job, audits, findings, chosen, closeness, resultsLogged: false, settlement: null }
}

function stepSettling<T extends Job & { phase: 'verified' | 'disputed' | 'failed' }>(job: T, event: JobEvent): Job {
  if (event.type === 'settlement-certified')
    return job.settlement === null ? { ...job, settlement: event.settlement } : job
  if (event.type === 'results-logged' && job.phase !== 'failed' && !job.resultsLogged)
    return { ...job, resultsLogged: true }
  return job
}

function tick(job: Exclude<Job, { phase: 'settled' }>, nowMs: number): Job {
  if (BigInt(nowMs) >= job.hold.deadlineMs) {
    if (job.phase !== 'failed') return { ...fail(job, 'deadline'), expired: true }
    return job.expired ? job : { ...job, expired: true }
  }
  const now = BigInt(nowMs)
  // Nobody's answer can change it.
  if (job.phase === 'admitted' && job.draw.ranked.length < job.intent.replicas) return fail(job, 'no_workers')
  if (job.phase === 'proposed') return now >= votedByMs(job) ? again(job, 'no_workers') : job
  if (job.phase === 'executing' && now >= assignmentOf(job.assignment).commitByMs) {
    return closeExecution({ ...job, replicas: loseAll(job.replicas, 'running', 'commit_deadline') })
  }
  if (job.phase === 'committed' && now >= assignmentOf(job.assignment).revealByMs) {
    return closeReveals({ ...job, replicas: loseAll(job.replicas, 'committed', 'reveal_deadline') })
  }
  return job
}

/** Answers that a vote may take, in `answerMs` each: a quorum that is there has voted long before. */
const VOTE_ANSWERS = 4
/** Behind the last attempt there is only the refund: validators that are away get longer to come back. */
const LAST_VOTE_ANSWERS = 16

/** After this the votes may be split between two proposals, of which neither will win: the next attempt is another subject. */
function votedByMs(job: ProposedJob): bigint {
  const { commitMs, answerMs } = job.timing
  const { commitByMs } = assignmentOf(job.assignment)
  const proposedMs = commitByMs - BigInt(commitMs)
  const dueMs = proposedMs + BigInt((isLeft(job) ? VOTE_ANSWERS : LAST_VOTE_ANSWERS) * answerMs)
  return dueMs < commitByMs ? dueMs : commitByMs
}

function isLeft({ attempt, timing }: Job): boolean {
  return attempt + 1 < timing.attemptsMax
}

/**
 * The next attempt: everybody is asked again, but for the workers that were just lost. Those count as silent while there are enough
 * others, as anybody may see from the answers: who gave none is not among the workers.
 */
function again(job: AdmittedJob | ProposedJob | ExecutingJob | CommittedJob, reason: FailureReason): Job {
  if (!isLeft(job) || ('stop' in job && job.stop.length > 0)) return fail(job, reason)
  const { id, swarmId, user, intent, intentEnvelope, hold, draw, attempt, timing } = job
  const lost = 'replicas' in job ? job.replicas.filter(({ state }) => state === 'lost') : []
  const others = draw.ranked.length - lost.length
  const answers = lost.map(
    ({ worker }): AnswerRecord => ({ peer: worker, answer: 'silent', envelope: new Uint8Array() }),
  )
  return {
    ...{ id, swarmId, user, intent, intentEnvelope, hold, draw, timing },
    phase: 'admitted',
    attempt: attempt + 1,
    answers: others < intent.replicas ? [] : answers,
    earlier: earlierOf(job),
  }
}

function earlierOf(job: AdmittedJob | ProposedJob | ExecutingJob | CommittedJob): Earlier | null {
  if (!('replicas' in job)) return job.earlier
  const { attempt, answers, assignment, certificate, replicas } = job
  return { attempt, answers, assignment, certificate, replicas }
}

function loseAll(replicas: readonly Replica[], state: Replica['state'], reason: string): readonly Replica[] {
  return replicas.map(
    (replica): Replica => (replica.state === state ? { state: 'lost', worker: replica.worker, reason } : replica),
  )
}

function settled(job: Exclude<Job, { phase: 'settled' }>, event: JobEvent & { type: 'settlement-logged' }): Job {
  const held = failedShape(job)
  const paid = event.outcome === 'paid'
  return {
    ...held,
    phase: 'settled',
    outcome: event.outcome,
    reason: paid ? REASON_PAID : event.certificate === null ? 'deadline' : reasonOf(job),
    chosen: paid ? held.chosen : null,
    settlement: { body: event.body, certificate: event.certificate },
  }
}

function reasonOf(job: Job): FailureReason {
  return job.phase === 'failed' ? job.reason : 'output_rejected'
}

function fail(job: Exclude<Job, { phase: 'settled' }>, reason: FailureReason): FailedJob {
  return {
    ...failedShape(job),
    phase: 'failed',
    reason,
    settlement: 'settlement' in job ? job.settlement : null,
    expired: false,
  }
}

/** Keeps what a receipt can still show, drops what belongs to the phase that was left. */
function failedShape(
  job: Exclude<Job, { phase: 'settled' }>,
): Omit<FailedJob, 'phase' | 'reason' | 'settlement' | 'expired'> {
  const { id, swarmId, user, intent, intentEnvelope, hold, draw, timing } = job
  const base = { id, swarmId, user, intent, intentEnvelope, hold, draw, timing, earlier: null }
  // The log knows nothing of an attempt that was not assigned.
  const { attempt, answers } = job
  if (!('certificate' in job)) {
    const nothing = { attempt: 0, answers, assignment: new Uint8Array(), certificate: null, replicas: [] }
    const unjudged = { commitSet: null, audits: [], findings: [], chosen: null, delivery: new Uint8Array() }
    return { ...base, ...(job.earlier ?? nothing), ...unjudged }
  }
  return {
    ...base,
    ...{ attempt, answers },
    // Without its certificate an assignment proves nothing, so a receipt leaves it out.
    assignment: 'certificate' in job && job.certificate !== null ? job.assignment : new Uint8Array(),
    certificate: 'certificate' in job ? job.certificate : null,
    replicas: 'replicas' in job ? job.replicas : [],
    commitSet: 'commitSet' in job ? job.commitSet : null,
    audits: 'audits' in job ? job.audits : [],
    findings: 'findings' in job ? job.findings : [],
    chosen: 'chosen' in job ? job.chosen : null,
    delivery: 'delivery' in job ? job.delivery : new Uint8Array(),
  }
}

function replace<T extends ExecutingJob | CommittedJob>(
  job: T,
  index: number,
  from: readonly Replica['state'][],
  change: (worker: Replica['worker']) => Replica,
): T {
  const replica = job.replicas[index]
  if (replica === undefined || !from.includes(replica.state)) return job
  return { ...job, replicas: job.replicas.map((other, place) => (place === index ? change(other.worker) : other)) }
}

/** @param assignment  bytes that this node encoded itself or checked before */
export function workersOf(assignment: Uint8Array): readonly Replica['worker'][] {
  return assignmentOf(assignment).workers
}

export function assignmentOf(bytes: Uint8Array): Assignment {
  const decoded = assignmentCodec.decode(bytes)
  invariant(decoded.action === 'accept', 'a journaled assignment decodes')
  return decoded.value
}
