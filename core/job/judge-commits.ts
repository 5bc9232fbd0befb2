/** What a validator checks before it says that these are all the commitments of an attempt. */
import { openAs } from '../identity/envelope.ts'
import type { Digest, JobId, SwarmId } from '../ids.ts'
import { ZERO_DIGEST } from '../ledger/settlement.ts'
import { assignmentCodec, bodyDigest } from '../log/assignment.ts'
import { statementOf } from '../log/authority.ts'
import type { LogState } from '../log/state.ts'
import type { Statement } from '../quorum/vote.ts'
import { accept, ignore, reject, type Validation } from '../validation.ts'
import { commitSetDigest } from '../verification/auditing.ts'
import { commitmentCodec, commitmentHash } from '../verification/commitment.ts'
import type { CommitSetProposal } from './proposal.ts'

/** Hashes in order of replica; 32 zero bytes for what is no commitment. */
export function commitmentHashes(swarmId: SwarmId, commitments: readonly Uint8Array[]): readonly Digest[] {
  return commitments.map((envelope) => {
    const opened = openAs(commitmentCodec, envelope, swarmId)
    return opened.action === 'accept' ? commitmentHash(swarmId, opened.value.body) : ZERO_DIGEST
  })
}

/** The statement that a quorum signs once for an attempt, and from whose signatures the audit beacon is made. */
export function commitSetStatement(
  state: LogState,
  jobId: JobId,
  attempt: number,
  commitments: readonly Uint8Array[],
): Statement {
  const digest = commitSetDigest(commitmentHashes(state.swarmId, commitments))
  return statementOf(state, 'commit-set', { subject: jobId, attempt, index: 0, digest })
}

/**
 * Checks that each commitment is its worker's and of this attempt.
 *
 * Why only the edge's word says that a replica made none: a worker that was left out is not paid and can show its own commitment; the
 * edge gains nothing that it could not have by not asking.
 */
export function judgeCommitSet(state: LogState, proposal: CommitSetProposal): Validation<Statement> {
  const decoded = assignmentCodec.decode(proposal.assignment)
  if (decoded.action !== 'accept') return decoded
  const { jobId, attempt, workers } = decoded.value
  const job = state.jobs.get(jobId as JobId)
  if (job === undefined) return ignore('unknown_parent')
  const assignmentHash = bodyDigest('assignment', state.swarmId, proposal.assignment)
  if (job.phase !== 'assigned' || job.assignmentHash !== assignmentHash) return ignore('stale')
  if (proposal.commitments.length !== workers.length) return reject('proposal_mismatch', 'replicas')
  for (const [replica, envelope] of proposal.commitments.entries()) {
    if (envelope.length === 0) continue
    const opened = openAs(commitmentCodec, envelope, state.swarmId)
    if (opened.action !== 'accept') return opened
    const { signer, value } = opened.value
    const placed = value.jobId === jobId && value.attempt === attempt && value.replica === replica
    if (signer !== workers[replica] || !placed || value.assignmentHash !== assignmentHash)
      return reject('proposal_mismatch', 'commitment')
  }
  return accept(commitSetStatement(state, job.id, attempt, proposal.commitments))
}
