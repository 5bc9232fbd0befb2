/** Puts together what a third party needs to judge one replica of a settled job. */
import { FabricError } from '../../core/errors.ts'
import type { Job, SettledJob } from '../../core/job/job.ts'
import { commitmentHashes } from '../../core/job/judge-commits.ts'
import { ZERO_DIGEST } from '../../core/ledger/settlement.ts'
import { replicaInputsOf } from '../../core/log/inputs.ts'
import type { LogState } from '../../core/log/state.ts'
import { type EvidenceFile, evidenceFileCodec, NO_CONTRADICTION } from '../../core/receipt/evidence-file.ts'
import { findingCodec } from '../../core/verification/finding.ts'
import type { Store } from '../runtime/ports.ts'

const NOTHING = new Uint8Array()

export type Kept = { readonly state: LogState; readonly store: Pick<Store, 'receipt' | 'payload'> }

/**
 * @param replica     absent: the first that a finding calls fail or suspect, else replica 0
 * @param withPrompt  the job's words go into the file: only their owner may say so
 * @returns           the bytes of the file
 * @throws FabricError CF_JOB_UNKNOWN; CF_JOB_NOT_SETTLED; CF_JOB_EVIDENCE_UNAVAILABLE when there is no finding of that replica, or the words
 *                     were asked for and are no longer kept
 */
export function exportEvidence(
  job: Job | undefined,
  { state, store }: Kept,
  replica: number | undefined,
  withPrompt: boolean,
): Uint8Array {
  if (job === undefined) throw new FabricError('CF_JOB_UNKNOWN')
  const [receipt, payload] = [store.receipt(job.id), store.payload(job.id)]
  if (job.phase !== 'settled' || receipt === undefined)
    throw new FabricError('CF_JOB_NOT_SETTLED', { job: job.id, phase: job.phase })
  const index = replica ?? accusedOf(job)
  if (job.findings[index] === undefined)
    throw new FabricError('CF_JOB_EVIDENCE_UNAVAILABLE', { job: job.id, replica: index })
  if (withPrompt && payload === undefined)
    throw new FabricError('CF_JOB_EVIDENCE_UNAVAILABLE', { job: job.id, reason: 'the prompt is no longer kept' })
  const shown = job.replicas[index]
  const audit = auditOf(job, index)
  const file: EvidenceFile = {
    ...{ genesis: NOTHING, receipt, replica: index, reveal: shown?.state === 'revealed' ? shown.reveal : NOTHING },
    inputs: withPrompt ? replicaInputsOf(payload, index) : NOTHING,
    commitSet: commitSetOf(job, state),
    ...{ first: audit?.first ?? index, reports: audit?.reports ?? [] },
    policy: policyOf(job, state),
    contradiction: NO_CONTRADICTION,
  }
  return evidenceFileCodec.encode(file)
}

function accusedOf({ findings }: SettledJob): number {
  const accused = findings.findIndex(({ body }) => {
    const finding = findingCodec.decode(body)
    return finding.action === 'accept' && (finding.value.verdict === 'fail' || finding.value.verdict === 'suspect')
  })
  return Math.max(0, accused)
}

/** The reports about the class that the replica's output belongs to: the class with the hash that its finding names. */
function auditOf({ audits, findings }: SettledJob, replica: number): SettledJob['audits'][number] | undefined {
  const own = findingCodec.decode(findings[replica]?.body ?? NOTHING)
  if (own.action !== 'accept' || own.value.auditsHash === ZERO_DIGEST) return undefined
  return audits.find(({ first }) => {
    const other = findingCodec.decode(findings[first]?.body ?? NOTHING)
    return other.action === 'accept' && other.value.auditsHash === own.value.auditsHash
  })
}

function commitSetOf({ commitSet }: SettledJob, { swarmId }: LogState): EvidenceFile['commitSet'] {
  if (commitSet?.certificate == null) return { hashes: [], bitmap: 0, signatures: NOTHING }
  return { hashes: commitmentHashes(swarmId, commitSet.commitments), ...commitSet.certificate }
}

/** The table that the job was held under, as it lies in the log. */
function policyOf({ id }: SettledJob, state: LogState): Uint8Array {
  const policyId = state.jobs.get(id)?.policyId ?? ZERO_DIGEST
  return policyId === ZERO_DIGEST ? NOTHING : (state.policies.get(`id/${policyId}`)?.body ?? NOTHING)
}
