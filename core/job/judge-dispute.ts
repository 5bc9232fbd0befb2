/**
 * What referees are shown, what validators check before they certify a ruling, and what that ruling is. All of it follows from the log
 * and from signed votes; the edge that collects them chooses nothing but when to ask.
 *
 * @see docs/PROTOCOL.md#disputes
 */
import { type BodyOf, bytes, bytesMax, code, defineBody, digest, list, record, u8, u16, u32 } from '../codec/schema.ts'
import { ENVELOPE_OVERHEAD_BYTES, openAs } from '../identity/envelope.ts'
import type { Digest, JobId, PeerId } from '../ids.ts'
import { ZERO_DIGEST } from '../ledger/settlement.ts'
import { LIMITS } from '../limits.ts'
import { statementOf } from '../log/authority.ts'
import { correctionCodec } from '../log/bodies-certified.ts'
import { capsOf } from '../log/draw.ts'
import { drawSource } from '../log/epochs.ts'
import { replicaInputsCodec } from '../log/inputs.ts'
import { rulingOf } from '../log/ruling.ts'
import { intentOf } from '../log/settling.ts'
import { ownerNamed } from '../log/standing.ts'
import type { LoggedDispute, LoggedJob, LogState } from '../log/state.ts'
import type { Statement } from '../quorum/vote.ts'
import type { RosterSnapshot } from '../roster/roster.ts'
import { accept, ignore, reject, type Validation } from '../validation.ts'
import { auditCodec } from '../verification/audit.ts'
import { AUDITOR_SPARES, auditsHash, REPORTS_MAX } from '../verification/auditing.ts'
import { commitmentCodec } from '../verification/commitment.ts'
import {
  type DisputeVerdict,
  disputeVerdict,
  REFEREE_LIMITS,
  type RefereeVote,
  refereesFor,
  refereeVoteCodec,
} from '../verification/dispute.ts'
import type { Finding } from '../verification/finding.ts'
import { checkStructure, type Structure } from '../verification/structure.ts'
import type { ClassAudit } from './job.ts'
import { type Bench, claimOf, type ModelFacts, ruleOf } from './judge.ts'

const REPORT_BYTES_MAX = auditCodec.bytesMax + ENVELOPE_OVERHEAD_BYTES
const classAudits = list(
  record({ first: u8(), reports: list(bytesMax(REPORT_BYTES_MAX), REPORTS_MAX + AUDITOR_SPARES) }),
  LIMITS.replicaCountMax,
)

/** Edge to a referee: everything that it needs to compute the replica again. */
export const refereeRequestCodec = defineBody(
  'referee-request',
  {
    jobId: digest(),
    dispute: digest(),
    /** All reports of the job: whoever audited it is no referee. */
    audits: classAudits,
    /** Envelope, and reveal body; empty bytes where there was none. */
    commitment: bytesMax(commitmentCodec.bytesMax + ENVELOPE_OVERHEAD_BYTES),
    reveal: bytesMax(LIMITS.receiptOutputBytesMax),
    /** Body `replica-inputs`. */
    inputs: bytesMax(replicaInputsCodec.bytesMax),
  },
  LIMITS.receiptOutputBytesMax + replicaInputsCodec.bytesMax + 65_536,
)
export type RefereeRequest = BodyOf<typeof refereeRequestCodec>

/** Edge to validators: the votes, from which the ruling follows. */
export const rulingProposalCodec = defineBody(
  'ruling-proposal',
  {
    jobId: digest(),
    dispute: digest(),
    /** Counts proposals of one ruling, whose votes may have become more. */
    attempt: u32(),
    audits: classAudits,
    /** Envelopes `referee-vote`. */
    votes: list(bytesMax(refereeVoteCodec.bytesMax + ENVELOPE_OVERHEAD_BYTES), REFEREE_LIMITS.countMax),
  },
  65_536,
)
export type RulingProposal = BodyOf<typeof rulingProposalCodec>

/** Edge to a referee whose vote stands alone: one step of `bisect`. */
export const bisectAskCodec = defineBody(
  'bisect-ask',
  { jobId: digest(), dispute: digest(), ask: code(['nodes', 'margins']), level: u8(), index: u32() },
  160,
)
export const bisectAnswerCodec = defineBody(
  'bisect-answer',
  { nodes: list(bytes(32), 2), margins: list(u16(), 32) },
  256,
)

export type Ruling = {
  readonly statement: Statement
  /** Of the correction. */
  readonly body: Uint8Array
  readonly verdict: DisputeVerdict
}

/** @returns undefined when the job has no dispute of this hash */
export function disputeOf(job: LoggedJob, hash: Digest): LoggedDispute | undefined {
  return job.disputes.find((dispute) => dispute.hash === hash)
}

/**
 * Draws the referees of a dispute: the same for the edge, the referees and every validator.
 *
 * @param reports  of all classes of the job; each that a finding names must be there, or an auditor could judge itself
 */
export function refereesOf(
  state: LogState,
  roster: RosterSnapshot,
  job: LoggedJob,
  { hash, opener }: Pick<LoggedDispute, 'hash' | 'opener'>,
  reports: readonly ClassAudit[],
): Validation<readonly PeerId[]> {
  const auditors = auditorsIn(state, job, reports)
  if (auditors.action !== 'accept') return auditors
  const { beacon, genesis } = drawSource(state, job)
  return accept(
    refereesFor({
      ...{ roster, beacon, disputeHash: hash, caps: capsOf(genesis) },
      parties: [...job.workers, job.edge, opener, ...auditors.value],
      owners: [ownerNamed(job.user), ownerNamed(opener)],
    }),
  )
}

function auditorsIn(
  { swarmId }: LogState,
  { findings }: LoggedJob,
  reports: readonly ClassAudit[],
): Validation<readonly PeerId[]> {
  const shown = new Set(reports.map(({ reports: envelopes }) => auditsHash(envelopes)))
  const named = findings.map((finding) => finding.auditsHash).filter((hash) => hash !== ZERO_DIGEST)
  if (!named.every((hash) => shown.has(hash))) return reject('proposal_mismatch', 'audits')
  const auditors: PeerId[] = []
  for (const envelope of reports.flatMap(({ reports: envelopes }) => envelopes)) {
    const opened = openAs(auditCodec, envelope, swarmId)
    if (opened.action !== 'accept') return opened
    auditors.push(opened.value.signer)
  }
  return accept(auditors)
}

/** The referee's first look (L0): what fails by itself needs no model. */
export function refereeStructure(
  { swarmId }: LogState,
  job: LoggedJob,
  finding: Finding,
  request: Pick<RefereeRequest, 'commitment' | 'reveal'>,
  facts: ModelFacts,
): Structure {
  const claim = claimOf(swarmId, finding.worker, request.commitment, request.reveal)
  return checkStructure(claim, finding.replica, {
    ...{ swarmId, edge: job.edge, jobId: job.id, attempt: job.attempt, assignmentHash: job.assignmentHash },
    rule: ruleOf(intentOf(job), facts),
    // The edge's word for the early end was checked by those who certified the finding.
    stopped: finding.reason === 'aborted',
  })
}

/**
 * Checks the draw and the votes, and gives the ruling that follows.
 *
 * Why an end without all votes has to wait: whoever collects them could lose one that it does not like, and call the rest too few.
 */
export function judgeRuling(bench: Bench, proposal: RulingProposal): Validation<Ruling> {
  const { state, roster, nowMs } = bench
  const job = state.jobs.get(proposal.jobId as JobId)
  if (job === undefined) return ignore('unknown_parent')
  const dispute = disputeOf(job, proposal.dispute)
  if (dispute === undefined) return ignore('unknown_parent')
  if (dispute.outcome !== null) return ignore('stale')
  const drawn = refereesOf(state, roster, job, dispute, proposal.audits)
  if (drawn.action !== 'accept') return drawn
  const votes = openVotes(state, job, dispute, drawn.value, proposal.votes)
  if (votes.action !== 'accept') return votes
  const verdict = disputeVerdict(dispute.claim, drawn.value, votes.value)
  const isEarly = BigInt(nowMs) < dispute.openedMs + BigInt(LIMITS.refereeMs)
  if (verdict.outcome === 'inconclusive' && votes.value.size < drawn.value.length && isEarly)
    return reject('proposal_mismatch', 'votes')
  const side = (verdict.outcome === 'upheld') === (dispute.claim === 'reject') ? 'fail' : 'pass'
  const winners =
    verdict.outcome === 'inconclusive' ? [] : drawn.value.filter((peer) => votes.value.get(peer)?.verdict === side)
  const body = correctionCodec.encode(rulingOf(job, dispute, verdict.outcome, winners))
  const parts = { subject: job.id, attempt: proposal.attempt, index: job.correctionCount }
  const statement = statementOf(state, 'correction', { ...parts, digest: correctionCodec.digest(state.swarmId, body) })
  return accept({ statement, body, verdict })
}

/** Each by another drawn referee and about this dispute; anything else makes the proposal wrong. */
function openVotes(
  state: LogState,
  job: LoggedJob,
  dispute: LoggedDispute,
  drawn: readonly PeerId[],
  envelopes: readonly Uint8Array[],
): Validation<ReadonlyMap<PeerId, RefereeVote>> {
  const votes = new Map<PeerId, RefereeVote>()
  for (const envelope of envelopes) {
    const opened = checkRefereeVote(state, job, dispute, envelope)
    if (opened.action !== 'accept') return opened
    const { signer, value } = opened.value
    if (!drawn.includes(signer) || votes.has(signer)) return reject('proposal_mismatch', 'referee')
    votes.set(signer, value)
  }
  return accept(votes)
}

/** Whether a vote is signed, and about this dispute under the thresholds of the job. */
export function checkRefereeVote(
  { swarmId }: LogState,
  job: LoggedJob,
  { hash, replica }: LoggedDispute,
  envelope: Uint8Array,
): Validation<{ readonly signer: PeerId; readonly value: RefereeVote }> {
  const opened = openAs(refereeVoteCodec, envelope, swarmId)
  if (opened.action !== 'accept') return opened
  const { signer, value } = opened.value
  const fits =
    value.jobId === job.id &&
    value.dispute === hash &&
    value.replica === replica &&
    value.commitmentHash === job.findings[replica]?.commitmentHash &&
    value.policyId === job.policyId
  return fits ? accept({ signer, value }) : reject('proposal_mismatch', 'vote')
}
