/**
 * What a validator checks before it votes. Each function gives the statements that an honest validator signs, or why it signs
 * nothing. Who may vote: a validator of the epoch, once per subject, never on a replica of its own.
 */
import { openAs } from '../identity/envelope.ts'
import type { Digest, JobId, PeerId, SwarmId } from '../ids.ts'
import { CHOSEN_NONE, settlementCodec } from '../ledger/settlement.ts'
import { LIMITS } from '../limits.ts'
import { type Assignment, answerCodec, answersDigest, assignmentCodec, bodyDigest } from '../log/assignment.ts'
import { abstainersOf, statementOf } from '../log/authority.ts'
import { rankedFor } from '../log/draw.ts'
import { drawSource, epochOfJob } from '../log/epochs.ts'
import { areSeedsOf, seedNames } from '../log/inputs.ts'
import type { Intent } from '../log/intent.ts'
import { policyOf } from '../log/policies.ts'
import { intentOf, settlementOf } from '../log/settling.ts'
import type { LoggedJob, LogState } from '../log/state.ts'
import type { Statement } from '../quorum/vote.ts'
import type { RosterSnapshot } from '../roster/roster.ts'
import { type DrawAnswer, pick } from '../selection/committee.ts'
import { accept, ignore, reject, type Validation } from '../validation.ts'
import { commitmentCodec, revealCodec, tokensRoot } from '../verification/commitment.ts'
import { type AuditOutcome, auditableOutputs, findingCodec, findingsOf, structuresOf } from '../verification/finding.ts'
import { policyFor } from '../verification/policy.ts'
import { isAuditable, isVerifiable } from '../verification/replayable.ts'
import type { Expectation, OutputRule, ReplicaClaim, Structure } from '../verification/structure.ts'
import { chooseOutput, revealedOutput } from './choice.ts'
import { type AuditPlan, auditOutcomes, auditPlanOf, checkWitness, type Witnessed } from './judge-audits.ts'
import { speedsOf } from './judge-speed.ts'
import {
  type AssignmentProposal,
  type FindingProposal,
  REFUND_REASONS,
  type SettlementProposal,
  stopCodec,
} from './proposal.ts'

/** What the judge must know of a model to check structure; from its own catalogue, never from the proposer. */
export type ModelFacts = {
  readonly megaParams: number
  readonly vocabSize: number
  readonly stopIds: readonly number[]
  /** Words of one vector; 0 for a model that generates. */
  readonly dimensions: number
}

const WORD_BYTES = 4

/** A model either generates or embeds; all vectors of a job go into one reveal. */
export function isModelFor(
  { task, maxTokens }: Pick<Intent, 'task' | 'maxTokens'>,
  { dimensions }: Pick<ModelFacts, 'dimensions'>,
): boolean {
  if (task !== 'embedding') return dimensions === 0
  return dimensions > 0 && maxTokens * dimensions * WORD_BYTES <= LIMITS.outputIdsBytesMax
}

export type Bench = {
  /** Its own replicas are left out of what it signs; undefined for a coordinator, which signs nothing. */
  readonly self: PeerId | undefined
  readonly state: LogState
  /** Of the job's epoch. */
  readonly roster: RosterSnapshot
  readonly nowMs: number
  readonly facts: (modelDigest: Digest) => ModelFacts | undefined
}

export type JudgedFinding = { readonly statement: Statement; readonly body: Uint8Array; readonly worker: PeerId }

/** The draw, repeated: the workers are the first R that accepted, in rank order, and every answer is signed. */
export function judgeAssignment(bench: Bench, proposal: AssignmentProposal): Validation<Statement> {
  const { state, roster, nowMs } = bench
  const decoded = assignmentCodec.decode(proposal.assignment)
  if (decoded.action !== 'accept') return decoded
  const assignment = decoded.value
  const job = state.jobs.get(assignment.jobId as JobId)
  if (job === undefined) return ignore('unknown_parent')
  if (!isNextAttempt(state, job, assignment.attempt)) return ignore('stale')
  const intent = intentOf(job)
  const facts = bench.facts(intent.modelDigest)
  if (facts?.megaParams !== intent.modelMegaParams || !isModelFor(intent, facts))
    return reject('proposal_mismatch', 'model')
  const { epoch, beacon, rosterRoot } = epochOfJob(state, job)
  const same =
    assignment.epoch === epoch &&
    assignment.beacon === beacon &&
    assignment.rosterRoot === rosterRoot &&
    roster.root === rosterRoot &&
    assignment.holdHash === job.holdHash
  if (!same) return reject('proposal_mismatch', 'draw')
  const late =
    assignment.revealByMs <= assignment.commitByMs ||
    assignment.revealByMs > job.deadlineMs ||
    assignment.commitByMs < BigInt(nowMs)
  if (late) return reject('proposal_mismatch', 'deadlines')
  const ranked = rankedFor(drawSource(state, job), roster, intent, job.holdHash)
  const answers = openAnswers(state, assignment, proposal.answers, ranked)
  if (answers.action !== 'accept') return answers
  const workers = pick(ranked, answers.value, intent.replicas)
  if (workers === undefined || workers.join() !== assignment.workers.join())
    return reject('proposal_mismatch', 'workers')
  if (assignment.overlapping !== workers.some((worker) => state.validators.keys.includes(worker)))
    return reject('proposal_mismatch', 'overlapping')
  return accept(
    statementOf(state, 'assignment', {
      subject: job.id,
      attempt: assignment.attempt,
      index: 0,
      digest: bodyDigest('assignment', state.swarmId, proposal.assignment),
    }),
  )
}

/**
 * Whether the log would take an assignment of this attempt: a later one replaces an earlier one until a finding of that is certified.
 *
 * Why a validator need not know why an attempt failed: it votes once on each, the log orders them, and only workers of the one that
 * the log has last are paid.
 */
function isNextAttempt({ genesis }: LogState, job: LoggedJob, attempt: number): boolean {
  if (attempt >= genesis.policy.attemptsMax) return false
  if (job.phase === 'held') return true
  return job.phase === 'assigned' && job.findings.length === 0 && attempt > job.attempt
}

function openAnswers(
  state: LogState,
  assignment: Assignment,
  envelopes: readonly Uint8Array[],
  ranked: readonly PeerId[],
): Validation<ReadonlyMap<PeerId, DrawAnswer>> {
  if (answersDigest(state.swarmId, envelopes) !== assignment.answersDigest)
    return reject('proposal_mismatch', 'answers')
  const answers = new Map<PeerId, DrawAnswer>(ranked.map((peer) => [peer, 'silent']))
  for (const envelope of envelopes) {
    const opened = openAs(answerCodec, envelope, state.swarmId)
    if (opened.action !== 'accept') return opened
    const { signer, value } = opened.value
    if (!answers.has(signer) || value.jobId !== assignment.jobId || value.attempt !== assignment.attempt)
      return reject('proposal_mismatch', 'answer')
    answers.set(signer, value.answer)
  }
  return accept(answers)
}

/** Every replica's finding, recomputed from commitments, reveals and reports. */
export function judgeFindings(bench: Bench, proposal: FindingProposal): Validation<readonly JudgedFinding[]> {
  const { state, self } = bench
  const seen = outputsOf(bench, proposal)
  if (seen.action !== 'accept') return seen
  const { job, expected, replicas, seeds, structures } = seen.value
  const table = policyOf(state, job)
  const policyId = table === undefined || !isAudited(state, job) ? policyFor(expected.rule.kind).id : job.policyId
  const audits = auditsOf(bench, seen.value, proposal)
  if (audits.action !== 'accept') return audits
  const speeds = speedsOf(state, job, { replicas, structures }, proposal)
  const input = { ...expected, policyId, replicas, seeds, audits: audits.value, ...(speeds && { speeds }) }
  const judged = findingsOf(input, structures).map((finding): JudgedFinding => {
    const body = findingCodec.encode(finding)
    const digest = bodyDigest('finding', state.swarmId, body)
    const { attempt, replica: index, worker } = finding
    return { statement: statementOf(state, 'finding', { subject: job.id, attempt, index, digest }), body, worker }
  })
  return accept(judged.filter(({ worker }) => self === undefined || !abstainersOf(state, worker).includes(self)))
}

/** Which outputs of an attempt must be audited by whom; of a job that nobody witnesses, none. */
export function planAudits(bench: Bench, proposal: FindingProposal): Validation<AuditPlan | undefined> {
  const seen = outputsOf(bench, proposal)
  return seen.action === 'accept' ? auditPlan(bench, seen.value, proposal) : seen
}

type SeenOutputs = {
  readonly job: LoggedJob
  readonly expected: Expectation
  readonly replicas: readonly ReplicaClaim[]
  /** Of `seedNames`. */
  readonly seeds: readonly string[]
  readonly structures: readonly Structure[]
}

function outputsOf({ state, facts }: Bench, proposal: FindingProposal): Validation<SeenOutputs> {
  const decoded = assignmentCodec.decode(proposal.assignment)
  if (decoded.action !== 'accept') return decoded
  const { jobId, attempt, workers } = decoded.value
  const job = state.jobs.get(jobId as JobId)
  if (job === undefined) return ignore('unknown_parent')
  const assignmentHash = bodyDigest('assignment', state.swarmId, proposal.assignment)
  if (job.phase !== 'assigned' || job.assignmentHash !== assignmentHash) return ignore('stale')
  const intent = intentOf(job)
  const known = facts(intent.modelDigest)
  if (known === undefined) return ignore('not_for_us')
  if (proposal.commitments.length !== workers.length || proposal.reveals.length !== workers.length)
    return reject('proposal_mismatch', 'replicas')
  if (!areSeedsOf(intent, proposal.seeds)) return reject('commitment_mismatch', 'seeds')
  const rule = ruleOf(intent, known)
  const seeds = seedNames(intent, proposal.seeds)
  const expected = {
    ...{ swarmId: state.swarmId, edge: job.edge, jobId: job.id, attempt, assignmentHash, rule },
    stopped: isStopped(state, job, proposal.stop),
  }
  const replicas = workers.map((worker, replica) =>
    claimOf(state.swarmId, worker, proposal.commitments[replica], proposal.reveals[replica]),
  )
  return accept({ job, expected, replicas, seeds, structures: structuresOf({ ...expected, replicas }) })
}

function isAudited({ genesis }: LogState, job: LoggedJob): boolean {
  return !genesis.local && isAuditable(intentOf(job))
}

/** A job that is witnessed is judged by nothing else than what was witnessed. */
function auditPlan(
  { state, roster }: Bench,
  { job, seeds, structures }: SeenOutputs,
  proposal: FindingProposal,
): Validation<AuditPlan | undefined> {
  if (!isAudited(state, job)) return accept(undefined)
  const witnessed = witnessedOf(job, proposal)
  const checked = checkWitness(state, witnessed)
  if (checked.action !== 'accept') return checked
  return accept(auditPlanOf(state, roster, witnessed, auditableOutputs(structures, seeds)))
}

function witnessedOf(job: LoggedJob, { commitments, bitmap, signatures }: FindingProposal): Witnessed {
  return { job, attempt: job.attempt, commitments, certificate: { bitmap, signatures } }
}

/** What reports make of the outputs. */
function auditsOf(
  bench: Bench,
  seen: SeenOutputs,
  proposal: FindingProposal,
): Validation<readonly (AuditOutcome | undefined)[]> {
  const { job, structures } = seen
  const { audits } = proposal
  const plan = auditPlan(bench, seen, proposal)
  if (plan.action !== 'accept') return plan
  if (plan.value === undefined) return audits.length === 0 ? accept([]) : reject('proposal_mismatch', 'audits')
  const texts = structures.map((structure) => (structure.ok ? structure.text : undefined))
  const table = policyOf(bench.state, job)
  return auditOutcomes(bench.state, plan.value, witnessedOf(job, proposal), { audits, texts }, table)
}

export function ruleOf(intent: Intent, { vocabSize, stopIds, dimensions }: ModelFacts): OutputRule {
  const { task, maxTokens, stop, sampling } = intent
  if (task === 'embedding') return { kind: 'vectors', count: maxTokens, dimensions }
  return { kind: 'tokens', maxTokens, vocabSize, stopIds, stop, verifiable: isVerifiable(sampling) }
}

/** A worker cannot end early by itself: the job's edge must have asked for it, by its signature. */
function isStopped({ swarmId }: LogState, job: LoggedJob, stop: Uint8Array): boolean {
  const opened = openAs(stopCodec, stop, swarmId)
  if (opened.action !== 'accept') return false
  const { value, signer } = opened.value
  return signer === job.edge && value.jobId === job.id && value.attempt === job.attempt
}

/** Bytes that do not open count as not handed in: the replica fails, its job does not. */
export function claimOf(
  swarmId: SwarmId,
  worker: PeerId,
  commitment: Uint8Array | undefined,
  reveal: Uint8Array | undefined,
): ReplicaClaim {
  const committed = openAs(commitmentCodec, commitment ?? new Uint8Array(), swarmId)
  const revealed = revealCodec.decode(reveal ?? new Uint8Array())
  return {
    worker,
    commitment: committed.action === 'accept' ? committed.value : undefined,
    reveal: revealed.action === 'accept' ? revealed.value : undefined,
  }
}

/** Who is paid what follows from logged findings and the genesis prices; the vote is about the whole body. */
export function judgeSettlement(
  bench: Bench,
  proposal: SettlementProposal,
): Validation<{ statement: Statement; body: Uint8Array }> {
  const { state } = bench
  const job = state.jobs.get(proposal.jobId as JobId)
  if (job === undefined) return ignore('unknown_parent')
  if (job.phase === 'settled') return ignore('stale')
  if (proposal.attempt !== job.attempt) return reject('proposal_mismatch', 'attempt')
  const chosen = proposal.chosen === CHOSEN_NONE ? null : proposal.chosen
  if ((proposal.outcome === 'paid') !== (chosen !== null)) return reject('proposal_mismatch', 'chosen')
  if (chosen === null && isRefundUnfair(job, proposal.reason)) return reject('proposal_mismatch', 'reason')
  if (chosen !== null && !isChoice(bench, job, chosen, proposal)) return reject('proposal_mismatch', 'chosen')
  const settled = settlementOf(state, job, chosen, proposal.reason)
  if (settled.status !== 'ok') return reject('proposal_mismatch', settled.status)
  const body = settlementCodec.encode(settled.body)
  const digest = bodyDigest('settlement', state.swarmId, body)
  return accept({
    statement: statementOf(state, 'settlement', { subject: job.id, attempt: proposal.attempt, index: 0, digest }),
    body,
  })
}

/**
 * A job whose every replica has a certified finding may only be refunded because the output that counts does not stand: in `before`
 * mode that is any sound one, in `after` mode the one that the client read, which only the edge knows.
 */
function isRefundUnfair(job: LoggedJob, reason: string): boolean {
  if (!REFUND_REASONS.some((known) => known === reason)) return true
  const complete = job.workers.length > 0 && job.findings.length === job.workers.length
  if (!complete) return false
  const unsound = job.findings.filter(({ verdict }) => verdict !== 'pass' && verdict !== 'inconclusive')
  const rejectable = intentOf(job).verify === 'before' ? unsound.length === job.findings.length : unsound.length > 0
  return reason !== 'output_rejected' || !rejectable
}

/** In `before` mode the choice follows from the outputs; in `after` mode the client has read it, and it must be sound. */
function isChoice({ roster }: Bench, job: LoggedJob, chosen: number, proposal: SettlementProposal): boolean {
  const intent = intentOf(job)
  if (intent.verify === 'after') return true
  const outputs = job.workers.map((_, replica) => revealedOutput(proposal.reveals[replica]))
  const closeness = { cosines: proposal.cosines, weights: weightsOf(roster, job.workers) }
  const genuine = job.findings.every(
    ({ verdict, replica, tokensRoot: root }) => verdict === 'fail' || tokensRoot(outputs[replica]?.ids ?? []) === root,
  )
  return genuine && chooseOutput(intent, null, job.findings, outputs, closeness) === chosen
}

/** What each worker's answer weighs where several are compared; one that left the roster since counts least. */
export function weightsOf({ members }: RosterSnapshot, workers: readonly PeerId[]): readonly number[] {
  return workers.map((worker) => members.find(({ peer }) => peer === worker)?.weight ?? 1)
}
