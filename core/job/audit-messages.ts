/** What an edge asks of an auditor, and what an auditor checks before it spends a forward pass on it. */
import { idsFromBytes } from '../codec/bytes.ts'
import { type BodyOf, bytesMax, defineBody, digest, list, u8, u16, u32 } from '../codec/schema.ts'
import { openAs } from '../identity/envelope.ts'
import type { Digest, JobId, PeerId } from '../ids.ts'
import { LIMITS } from '../limits.ts'
import { openReplicaInputs, type ReplicaInputs, replicaInputsCodec } from '../log/inputs.ts'
import type { Intent } from '../log/intent.ts'
import { intentOf } from '../log/settling.ts'
import type { LoggedJob, LogState } from '../log/state.ts'
import type { RosterSnapshot } from '../roster/roster.ts'
import { accept, ignore, reject, type Validation } from '../validation.ts'
import { auditBeacon, auditorsFor, REPORTS_MAX } from '../verification/auditing.ts'
import {
  type Commitment,
  commitmentCodec,
  commitmentHash,
  outputCommit,
  type Reveal,
  revealCodec,
  textDigest,
  tokensRoot,
} from '../verification/commitment.ts'
import { isAuditable } from '../verification/replayable.ts'
import { checkWitness } from './judge-audits.ts'
import { commitSetStatement } from './judge-commits.ts'

const SIGNATURES_MAX = LIMITS.validatorCountMax * 64

/** Edge to a drawn auditor: all that is needed to repeat the work, and to see that it was drawn for it. */
export const auditAskCodec = defineBody(
  'audit-ask',
  {
    jobId: digest(),
    attempt: u32(),
    /** The lowest of the class of equal outputs. */
    replica: u8(),
    /** The certified set, in order of replica. */
    commitments: list(bytesMax(8_192), LIMITS.replicaCountMax),
    bitmap: u16(),
    signatures: bytesMax(SIGNATURES_MAX),
    /** Body `replica-inputs`. */
    inputs: bytesMax(replicaInputsCodec.bytesMax),
    reveal: bytesMax(LIMITS.receiptOutputBytesMax),
  },
  LIMITS.payloadBytesMax + LIMITS.receiptOutputBytesMax + 65_536,
)
export type AuditAsk = BodyOf<typeof auditAskCodec>

/** Edge to an auditor that is at work, or that has committed. To `audit/show` the answer is the envelope `audit`. */
export const auditShowCodec = defineBody(
  'audit-show',
  {
    jobId: digest(),
    attempt: u32(),
    replica: u8(),
    /** What the others of its round are bound to: it goes into the report. Empty where nothing is to be shown yet. */
    others: list(digest(), REPORTS_MAX - 1),
  },
  256,
)

/** An output to be audited, with everything that says what it should have been. */
export type AuditOrder = {
  readonly job: LoggedJob
  readonly intent: Intent
  readonly inputs: ReplicaInputs
  readonly replica: number
  readonly worker: PeerId
  readonly beacon: Digest
  readonly commitment: Commitment
  readonly commitmentHash: Digest
  readonly ids: Uint32Array
}

/**
 * Checks that a quorum witnessed the commitments, that this node's lot fell on the audit, and that what is shown is what was committed to.
 *
 * @param job   as the log here has it; the message came from its edge
 * @param self  the auditor
 */
export function judgeAuditAsk(
  { state, roster, self }: { readonly state: LogState; readonly roster: RosterSnapshot; readonly self: PeerId },
  job: LoggedJob,
  ask: AuditAsk,
): Validation<AuditOrder> {
  const { attempt, replica, commitments, bitmap, signatures } = ask
  const intent = intentOf(job)
  if (job.phase !== 'assigned' || job.attempt !== attempt) return ignore('stale')
  if (state.genesis.local || !isAuditable(intent)) return reject('proposal_mismatch', 'audits')
  const worker = job.workers[replica]
  if (worker === undefined || commitments.length !== job.workers.length) return reject('proposal_mismatch', 'replicas')
  const witnessed = { job, attempt, commitments, certificate: { bitmap, signatures } }
  const witness = checkWitness(state, witnessed)
  if (witness.action !== 'accept') return witness
  const { digest: commitSet } = commitSetStatement(state, job.id, attempt, commitments)
  const beacon = auditBeacon(job.id, attempt, commitSet, witnessed.certificate)
  if (!auditorsFor(roster, beacon, replica, [...job.workers, job.edge]).includes(self)) return ignore('not_for_us')
  const opened = openAs(commitmentCodec, commitments[replica] ?? new Uint8Array(), state.swarmId)
  if (opened.action !== 'accept') return opened
  const { value: commitment, body } = opened.value
  const ids = revealedIdsOf(job.id, worker, replica, commitment, ask.reveal)
  if (ids.action !== 'accept') return ids
  const inputs = openReplicaInputs(intent, replica, ask.inputs)
  if (inputs.action !== 'accept') return inputs
  const hash = commitmentHash(state.swarmId, body)
  const order = { job, intent, inputs: inputs.value, replica, worker, beacon, commitment, ids: ids.value }
  return accept({ ...order, commitmentHash: hash })
}

/** The ids behind an output's commitment. */
function revealedIdsOf(
  jobId: JobId,
  worker: PeerId,
  replica: number,
  commitment: Commitment,
  bytesOfReveal: Uint8Array,
): Validation<Uint32Array> {
  const reveal = revealCodec.decode(bytesOfReveal)
  if (reveal.action !== 'accept') return reveal
  const ids = idsFromBytes(reveal.value.ids)
  if (ids === undefined || ids.length !== commitment.tokenCount) return reject('commitment_mismatch', 'reveal')
  if (commitOf(jobId, worker, replica, ids, reveal.value) !== commitment.outputCommit)
    return reject('commitment_mismatch', 'reveal')
  return accept(ids)
}

function commitOf(jobId: JobId, worker: PeerId, replica: number, ids: Uint32Array, { text, salt }: Reveal): Digest {
  return outputCommit(jobId, replica, worker, tokensRoot(ids), textDigest(text), salt)
}
