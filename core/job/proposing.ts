/** What an edge proposes of a job that has been revealed: the same bytes every time, or validators would be asked two things. */
import type { Seed } from '../log/inputs.ts'
import type { AuditedJob, CommittedJob, Job, Replica, RevealedJob } from './job.ts'
import type { CommitSetProposal, FindingProposal, RevealRequest } from './proposal.ts'

const NOTHING = new Uint8Array()
const NO_SIGNATURES = { bitmap: 0, signatures: NOTHING }

/** @returns undefined for a job that nobody witnesses, or that is not as far */
export function commitSetProposalOf(job: Job): CommitSetProposal | undefined {
  if (job.phase !== 'committed' || job.commitSet === null) return undefined
  return { assignment: job.assignment, commitments: job.commitSet.commitments }
}

/** What a worker must see before it shows its output. */
export function revealRequestOf(job: CommittedJob, replica: number): RevealRequest {
  const { id: jobId, attempt } = job
  return { jobId, attempt, replica, ...witnessedOf(job) }
}

/** @param seeds  of the job, as its client handed them over */
export function findingProposalOf(job: RevealedJob | AuditedJob, seeds: readonly Seed[]): FindingProposal {
  const { replicas, assignment, stop } = job
  return {
    ...{ assignment, stop },
    ...witnessedOf(job),
    reveals: replicas.map(revealOf),
    audits: 'audits' in job ? job.audits : [],
    seeds,
    timelines: replicas.map((replica) => ({ envelopes: replica.state === 'revealed' ? replica.timelines : [] })),
  }
}

/** What was witnessed counts, also of a replica that never revealed it. */
function witnessedOf({ commitSet, replicas }: CommittedJob | RevealedJob | AuditedJob) {
  const commitments = commitSet?.commitments ?? replicas.map(commitmentOf)
  return { commitments, ...(commitSet?.certificate ?? NO_SIGNATURES) }
}

function commitmentOf(replica: Replica): Uint8Array {
  return 'commitment' in replica ? replica.commitment : NOTHING
}

export function revealOf(replica: Replica): Uint8Array {
  return replica.state === 'revealed' ? replica.reveal : NOTHING
}
