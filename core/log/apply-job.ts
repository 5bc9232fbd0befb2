/** Entries of a job's way to its settlement: hold, assignment, result. */
import { openAs } from '../identity/envelope.ts'
import { userAccount } from '../ids.ts'
import { quote } from '../ledger/pricing.ts'
import { ZERO_DIGEST } from '../ledger/settlement.ts'
import type { TransferDraft } from '../ledger/transfer.ts'
import { LIMITS } from '../limits.ts'
import { type Finding, findingCodec } from '../verification/finding.ts'
import type { StructureFault } from '../verification/structure.ts'
import { assignmentCodec } from './assignment.ts'
import { abstainersOf, certificateFault, statementOf } from './authority.ts'
import { holdCodec } from './bodies.ts'
import { type AssignmentEntry, assignmentEntryCodec, resultEntryCodec } from './bodies-certified.ts'
import { book, type Handler, without } from './effects.ts'
import type { Entry } from './entry.ts'
import { epochOfJob } from './epochs.ts'
import { type Intent, intentCodec, intentFault, jobIdOf } from './intent.ts'
import { policyIdFor } from './policies.ts'
import { type Refused, refuse, refuseInvalid } from './refusal.ts'
import { intentOf } from './settling.ts'
import { auditPermilleOf, count, standingOf, watch, weighAuditors } from './standing.ts'
import { type LoggedJob, type LogState, nonceKey, platformOf } from './state.ts'

/** An intent becomes a job here: the nonce is taken, the price at full length is held. */
export const applyHold: Handler = (state, entry, hash) => {
  const decoded = holdCodec.decode(entry.body)
  if (decoded.action !== 'accept') return refuse('body_malformed')
  const { edge, intent: envelope } = decoded.value
  const opened = openAs(intentCodec, envelope, state.swarmId)
  if (opened.action !== 'accept') return refuseInvalid(opened)
  const { value: intent, signer: user, body: intentBody } = opened.value
  const fault = holdFault(state, intent, entry, intentBody, nonceKey(user, intent.nonce))
  if (fault !== undefined) return fault
  const id = jobIdOf(state.swarmId, intentBody)
  const amount = quote(state.genesis.prices, intent).hold
  const deadlineMs = entry.timeMs + BigInt(state.genesis.policy.jobMs)
  const job: LoggedJob = {
    ...{
      id,
      user,
      edge,
      intentBody,
      holdAmount: 0n,
      holdLeft: 0n,
      holdHash: hash,
      holdIndex: entry.index,
      holdMs: entry.timeMs,
      epoch: state.epoch,
      deadlineMs,
    },
    ...{
      phase: 'held',
      attempt: 0,
      workers: [],
      assignmentHash: ZERO_DIGEST,
      findings: [],
      settlement: null,
      correctionCount: 0,
      policyId: policyIdFor(state, intent.modelDigest),
      auditPermille: [],
      disputes: [],
    },
  }
  state.jobs.set(id, job)
  state.nonces.set(nonceKey(user, intent.nonce), id)
  const hold: TransferDraft = {
    ...{ op: 'hold', kind: 'hold', debit: userAccount(user), credit: platformOf(state), amount, reason: 'hold' },
    ...{ jobId: id, nodeId: null, idempotencyKey: `hold/${id}`, vestsAtMs: 0n },
  }
  return book(state, entry, hash, [hold], id)
}

function holdFault(
  state: LogState,
  intent: Intent,
  entry: Entry,
  intentBody: Uint8Array,
  nonce: string,
): Refused | undefined {
  if (intentFault(intent) !== undefined) return refuse('intent_out_of_bounds')
  if (intent.region !== state.genesis.region) return refuse('region_mismatch')
  // Before its expiry is asked: a client that sends an intent again long after gets the job that it became.
  const earlier = state.nonces.get(nonce)
  if (earlier !== undefined)
    return refuse(earlier === jobIdOf(state.swarmId, intentBody) ? 'job_exists' : 'nonce_used', { jobId: earlier })
  if (intent.expiresMs <= entry.timeMs) return refuse('intent_expired')
  if (intent.expiresMs - entry.timeMs > BigInt(LIMITS.intentLifetimeMsMax)) return refuse('intent_lifetime')
  return quote(state.genesis.prices, intent).hold > intent.maxBudget ? refuse('budget_exceeded') : undefined
}

/** Gives a held job its workers; a later attempt replaces an earlier one that nothing has been found about. */
export const applyAssignment: Handler = (state, entry) => {
  const decoded = assignmentEntryCodec.decode(entry.body)
  if (decoded.action !== 'accept') return refuse('body_malformed')
  const value = decoded.value
  const job = state.jobs.get(value.jobId)
  if (job === undefined) return refuse('job_unknown')
  const fault = assignmentFault(state, job, value)
  if (fault !== undefined) return fault
  const assignmentHash = assignmentCodec.digest(state.swarmId, assignmentBody(state, job, value))
  const statement = statementOf(state, 'assignment', {
    subject: job.id,
    attempt: value.attempt,
    index: 0,
    digest: assignmentHash,
  })
  const uncertified = certificateFault(state, statement, value)
  if (uncertified !== undefined) return uncertified
  const { attempt, workers } = value
  const auditPermille = workers.map((worker) => auditPermilleOf(standingOf(state, worker), state.genesis.policy))
  state.jobs.set(job.id, { ...job, phase: 'assigned', attempt, workers, assignmentHash, findings: [], auditPermille })
  return without(job.id)
}

/** The body that validators voted on, with the hold's hash and the epoch, roster and beacon that it was held under. */
export function assignmentBody(
  state: LogState,
  job: LoggedJob,
  value: Omit<AssignmentEntry, 'bitmap' | 'signatures'>,
): Uint8Array {
  const { attempt, workers, answersDigest, commitByMs, revealByMs, overlapping } = value
  const { epoch, rosterRoot, beacon } = epochOfJob(state, job)
  return assignmentCodec.encode({
    ...{ jobId: job.id, attempt, epoch, rosterRoot, beacon, holdHash: job.holdHash },
    ...{ workers, answersDigest, commitByMs, revealByMs, overlapping },
  })
}

function assignmentFault(state: LogState, job: LoggedJob, value: AssignmentEntry): Refused | undefined {
  if (job.phase === 'settled') return refuse('job_phase')
  if (value.attempt >= state.genesis.policy.attemptsMax) return refuse('attempt_mismatch')
  if (job.phase === 'assigned' && value.attempt <= job.attempt) return refuse('attempt_mismatch')
  // What is certified of an attempt is paid for: nobody takes it back by beginning another.
  if (job.findings.length > 0) return refuse('job_phase')
  const { workers, commitByMs, revealByMs } = value
  const replicas = intentOf(job).replicas
  if (workers.length !== replicas || new Set(workers).size !== replicas) return refuse('assignment_mismatch')
  return commitByMs > revealByMs || revealByMs > job.deadlineMs ? refuse('assignment_late') : undefined
}

/** Records one replica's certified finding; all of them must be in before the job can be paid. */
export const applyResult: Handler = (state, entry) => {
  const decoded = resultEntryCodec.decode(entry.body)
  if (decoded.action !== 'accept') return refuse('body_malformed')
  const read = findingCodec.decode(decoded.value.finding)
  if (read.action !== 'accept') return refuse('body_malformed')
  const finding = read.value
  const job = state.jobs.get(finding.jobId)
  if (job === undefined) return refuse('job_unknown')
  if (job.phase !== 'assigned') return refuse('job_phase')
  if (finding.attempt !== job.attempt) return refuse('attempt_mismatch')
  if (job.workers[finding.replica] !== finding.worker) return refuse('finding_mismatch')
  if (job.findings.some((other) => other.replica === finding.replica)) return refuse('finding_repeated')
  const digest = findingCodec.digest(state.swarmId, decoded.value.finding)
  const statement = statementOf(state, 'finding', {
    subject: job.id,
    attempt: job.attempt,
    index: finding.replica,
    digest,
  })
  const uncertified = certificateFault(state, statement, decoded.value, abstainersOf(state, finding.worker))
  if (uncertified !== undefined) return uncertified
  const findings = [...job.findings, finding].toSorted((a, b) => a.replica - b.replica)
  state.jobs.set(job.id, { ...job, findings })
  countFinding(state, finding)
  return without(job.id)
}

/** An output that nobody shares is no fault: only what passed or failed changes a standing. */
export function countFinding(state: LogState, finding: Finding): void {
  const { worker, verdict, reason } = finding
  if (verdict === 'pass') count(state, worker, 'passed')
  else if (verdict === 'fail') count(state, worker, LOST_REASONS.includes(reason) ? 'lost' : 'failed')
  watch(state, finding)
  weighAuditors(state, finding)
}

/** Structure faults of a worker that went away instead of answering wrongly. */
const LOST_REASONS: readonly string[] = ['no_commitment', 'no_reveal'] satisfies readonly StructureFault[]
