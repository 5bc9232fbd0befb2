/** A job of three replicas whose outputs are revealed, and reports about them by those who were drawn. */
import { openAs, sealAs } from '../../../core/identity/envelope.ts'
import type { PeerId } from '../../../core/ids.ts'
import { judgeFindings } from '../../../core/job/judge.ts'
import { type AuditPlan, type AuditTask, auditPlanOf } from '../../../core/job/judge-audits.ts'
import type { FindingProposal } from '../../../core/job/proposal.ts'
import { type AuditReport, auditCodec, marginRoot, probePositions } from '../../../core/verification/audit.ts'
import { commitmentCodec, commitmentHash, textDigest } from '../../../core/verification/commitment.ts'
import { findingCodec } from '../../../core/verification/finding.ts'
import { ANY_CLASS, type PolicyTable } from '../../../core/verification/policy-table.ts'
import { expectAccepted, JobRun, secretOf } from '../../support/job-run.ts'
import { missing } from '../../support/missing.ts'
import { whereLot } from '../../support/panels.ts'
import { digestNamed } from '../../support/people.ts'

const ENGINE = 'toy-engine 1.0 cpu linux-x64'
/** Outputs of five tokens are judged by their largest margin alone. */
const TABLE: PolicyTable = {
  model: digestNamed('model'),
  engine: ENGINE,
  rows: [
    {
      ...{ prover: ANY_CLASS, verifier: ANY_CLASS, temperature: 1, honestAudits: 3_000, honestTokens: 300_000 },
      ...{ suspectMicro: [1, 1, 1, 1], failMicro: [2, 2, 2, 2], worstMicro: 1_000_000 },
    },
  ],
}

export type AuditedJob = { readonly run: JobRun; readonly plan: AuditPlan }

/** @param isPanel  whether the lot gives each class of outputs three auditors at once */
export function auditedJob(outputs: readonly (readonly number[])[], isPanel = false): AuditedJob {
  return whereLot(isPanel, (nonce) => jobOf(outputs, nonce))
}

function jobOf(outputs: readonly (readonly number[])[], nonce: bigint): AuditedJob {
  const run = new JobRun({ policy: TABLE, intent: { nonce } })
  run.execute(outputs)
  const { commitments, bitmap, signatures } = run.findingProposal
  const witnessed = { job: run.swarm.job(run.id), attempt: 0, commitments, certificate: { bitmap, signatures } }
  const names = outputs.map((ids) => ids.join())
  return { run, plan: auditPlanOf(run.swarm.state, run.roster, witnessed, names) }
}

export function taskOf({ plan }: AuditedJob, place = 0): AuditTask {
  return plan.tasks[place] ?? missing('a task')
}

/** What an auditor would sign that found this largest margin, in nats, at one place. */
export function reportBy(
  { run, plan }: AuditedJob,
  { members }: AuditTask,
  auditor: PeerId | undefined,
  worst: number,
  parts: Partial<AuditReport> = {},
): Uint8Array {
  const { swarmId } = run.swarm.state
  const [first = 0] = members
  const commitment = run.findingProposal.commitments[first] ?? missing('a commitment')
  const { value, signer, body } = expectAccepted(openAs(commitmentCodec, commitment, swarmId))
  const positions = value.tokenCount
  const worstMicro = worst * 1_000_000
  const report: AuditReport = {
    ...{ jobId: run.id, attempt: 0, replica: first, worker: signer, positions, worstMicro, stopMicro: 0 },
    ...{ commitmentHash: commitmentHash(swarmId, body), policyId: run.swarm.job(run.id).policyId, engineId: ENGINE },
    ...{ overCount: worst > 0.3 ? 1 : 0, outsideCount: worst === 8 ? 1 : 0, marginRoot: marginRoot([]) },
    meanMicro: Math.round(Math.min(worstMicro, 3_000_000) / positions),
    worst: worst > 0 ? [{ position: 1, margin256: worst * 256, claimed: 12, best: 13 }] : [],
    probes: probePositions(plan.beacon, first, positions).map((position) => ({
      ...{ position, topId: 1, gap256: 10, claimedGap256: 0 },
    })),
    ...{ verdict: 'pass', replayMs: 5, textDigest: textDigest('a text') },
    ...{ salt: new Uint8Array(32), others: [] },
    ...parts,
  }
  return sealAs(auditCodec, report, swarmId, secretOf(auditor))
}

/** The validators' verdicts, or why they sign nothing. */
export function verdictsOf(run: JobRun, change: Partial<FindingProposal> = {}): readonly string[] | string {
  const judged = judgeFindings(run.bench(), { ...run.findingProposal, ...change })
  if (judged.action !== 'accept') return `${judged.action} ${judged.reason}`
  return judged.value.map(({ body }) => {
    const { verdict, reason } = expectAccepted(findingCodec.decode(body))
    return reason === 'none' ? verdict : `${verdict} ${reason}`
  })
}
