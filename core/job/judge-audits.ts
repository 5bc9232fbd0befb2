/** Which outputs of an attempt had to be audited by whom, and what the reports that were handed in make of them. */
import { openAs } from '../identity/envelope.ts'
import type { Digest, PeerId } from '../ids.ts'
import { intentOf } from '../log/settling.ts'
import type { LoggedJob, LogState } from '../log/state.ts'
import { type CompactCertificate, checkCertificate } from '../quorum/certificate.ts'
import type { RosterSnapshot } from '../roster/roster.ts'
import { accept, reject, type Validation } from '../validation.ts'
import { type AuditReport, auditCodec, auditCommit } from '../verification/audit.ts'
import {
  auditBeacon,
  auditedClasses,
  auditorsFor,
  auditsHash,
  isPanel,
  type OutputClass,
} from '../verification/auditing.ts'
import { type Commitment, commitmentCodec } from '../verification/commitment.ts'
import { evidenceOf } from '../verification/cusum.ts'
import type { AuditOutcome, Verdict } from '../verification/finding.ts'
import { type Panel, panelOf, type Said } from '../verification/panel.ts'
import { type PolicyTable, verdictOf } from '../verification/policy-table.ts'
import { isReportOf } from '../verification/report.ts'
import { commitmentHashes, commitSetStatement } from './judge-commits.ts'
import type { FindingProposal } from './proposal.ts'

/** One class of equal outputs that must be audited. */
export type AuditTask = {
  /** Replicas, ascending; the report is about the first. */
  readonly members: OutputClass
  /** Best ranked first. */
  readonly auditors: readonly PeerId[]
  /** Three auditors look at it at once, each bound before any of them shows anything. */
  readonly isPanel: boolean
}
export type AuditPlan = { readonly beacon: Digest; readonly tasks: readonly AuditTask[] }

export type Witnessed = {
  readonly job: LoggedJob
  readonly attempt: number
  /** The certified set, in order of replica. */
  readonly commitments: readonly Uint8Array[]
  readonly certificate: CompactCertificate
}

/**
 * Draws the audits of an attempt: the same for the edge, the auditors and every validator.
 *
 * @param outputs  of `auditableOutputs`
 */
export function auditPlanOf(
  state: LogState,
  roster: RosterSnapshot,
  { job, attempt, commitments, certificate }: Witnessed,
  outputs: readonly (string | undefined)[],
): AuditPlan {
  const { digest } = commitSetStatement(state, job.id, attempt, commitments)
  const beacon = auditBeacon(job.id, attempt, digest, certificate)
  const involved = [...job.workers, job.edge]
  const tasks = auditedClasses(beacon, outputs, job.auditPermille).map((members): AuditTask => {
    const [first = 0] = members
    const auditors = auditorsFor(roster, beacon, first, involved)
    // Where there is one auditor only, it cannot be asked for company.
    return { members, auditors, isPanel: auditors.length > 1 && isPanel(beacon, first) }
  })
  return { beacon, tasks }
}

/** Checks that a quorum witnessed these commitments. */
export function checkWitness(state: LogState, { job, attempt, commitments, certificate }: Witnessed): Validation<true> {
  const statement = commitSetStatement(state, job.id, attempt, commitments)
  const checked = checkCertificate(state.swarmId, state.validators, statement, certificate)
  return checked.action === 'accept' ? accept(true) : checked
}

export type Handed = {
  readonly audits: FindingProposal['audits']
  /** Text digests of the outputs, by replica. */
  readonly texts: readonly (Digest | undefined)[]
}

/**
 * Judges every replica by the reports of those who were drawn to report on it.
 *
 * Why the edge's choice among the reports hardly matters: only the drawn ones count, in their order, at most three; leaving them out
 * leaves an output unaudited, which its receipt says.
 *
 * @param table  undefined: reports are kept and judge nobody
 * @returns      by replica
 */
export function auditOutcomes(
  state: LogState,
  plan: AuditPlan,
  witnessed: Witnessed,
  { audits, texts }: Handed,
  table: PolicyTable | undefined,
): Validation<readonly (AuditOutcome | undefined)[]> {
  const outcomes: (AuditOutcome | undefined)[] = witnessed.job.workers.map(() => undefined)
  for (const audit of audits) {
    const heard = hearClass(state, plan, witnessed, { audit, text: texts[audit.first] }, table)
    if (heard.action !== 'accept') return heard
    const { task, reports } = heard.value
    const panel = panelOf(table === undefined ? [] : reports.map(({ said }) => said), task.isPanel)
    const outcome = { ...outcomeOf(reports, panel), auditsHash: auditsHash(audit.reports) }
    // Named once: whoever counts them finds each report in one finding.
    for (const replica of task.members) outcomes[replica] = { ...outcome, auditors: [], outvoted: [] }
    outcomes[audit.first] = outcome
  }
  return accept(outcomes)
}

/** A drawn auditor's report, and what it counts for. */
export type Heard = { readonly report: AuditReport; readonly signer: PeerId; readonly said: Said }
export type HandedClass = {
  readonly audit: FindingProposal['audits'][number]
  /** Digest of the output's text. */
  readonly text: Digest | undefined
}

/**
 * Opens the reports about one class and judges each by itself.
 *
 * An auditor whose model spells the ids otherwise than the worker did has found other text hung on them, whatever the margins are.
 */
export function hearClass(
  state: LogState,
  plan: AuditPlan,
  { job, attempt, commitments }: Witnessed,
  { audit: { first, reports }, text }: HandedClass,
  table: PolicyTable | undefined,
): Validation<{ readonly task: AuditTask; readonly reports: readonly Heard[] }> {
  const task = plan.tasks.find(({ members }) => members[0] === first)
  const worker = job.workers[first]
  const hash = commitmentHashes(state.swarmId, commitments)[first]
  if (task === undefined || worker === undefined || hash === undefined || reports.length === 0)
    return reject('proposal_mismatch', 'audits')
  const about = { jobId: job.id, attempt, replica: first, worker, commitmentHash: hash, policyId: job.policyId }
  const opened = openReports(state, task, about, reports)
  if (opened.action !== 'accept') return opened
  const prover = claimed(state, commitments[first])
  const verdictOn = (report: AuditReport): Verdict => {
    if (!isReportOf(report, prover.tokenCount, plan.beacon)) return 'abstain'
    return report.textDigest === text ? judgedVerdict(report, prover.engineId, job, table) : 'fail'
  }
  const heard = opened.value.map(({ report, signer }): Heard => {
    const { probes, others } = report
    return {
      report,
      signer,
      said: { verdict: verdictOn(report), probes, others, commit: auditCommit(state.swarmId, report) },
    }
  })
  return accept({ task, reports: heard })
}

function outcomeOf(reports: readonly Heard[], { verdict, counted, outvoted }: Panel): Omit<AuditOutcome, 'auditsHash'> {
  const signers = (places: readonly number[]): readonly PeerId[] => places.flatMap((at) => reports[at]?.signer ?? [])
  const [first = -1] = counted
  const said = reports[first]
  return {
    ...{ verdict, evidenceMicro: said === undefined ? 0 : evidenceOf(said.report) },
    auditors: signers(counted.filter((place) => !outvoted.includes(place))),
    outvoted: signers(outvoted),
  }
}

type Opened = Pick<Heard, 'report' | 'signer'>
type About = Pick<AuditReport, 'jobId' | 'attempt' | 'replica' | 'worker' | 'commitmentHash' | 'policyId'>

/** Each is by another drawn auditor, in the order of their ranks, and about this output under these thresholds. */
function openReports(
  { swarmId }: LogState,
  { auditors }: AuditTask,
  about: About,
  envelopes: readonly Uint8Array[],
): Validation<readonly Opened[]> {
  const reports: Opened[] = []
  let rank = -1
  for (const envelope of envelopes) {
    const opened = openAs(auditCodec, envelope, swarmId)
    if (opened.action !== 'accept') return opened
    const { signer, value } = opened.value
    const place = auditors.indexOf(signer)
    if (place <= rank) return reject('proposal_mismatch', 'auditor')
    rank = place
    const fits = (Object.keys(about) as (keyof About)[]).every((field) => value[field] === about[field])
    if (!fits) return reject('proposal_mismatch', 'audit')
    reports.push({ report: value, signer })
  }
  return accept(reports)
}

/** What the worker said of itself. */
function claimed(
  { swarmId }: LogState,
  commitment: Uint8Array | undefined,
): Pick<Commitment, 'engineId' | 'tokenCount'> {
  const opened = openAs(commitmentCodec, commitment ?? new Uint8Array(), swarmId)
  return opened.action === 'accept' ? opened.value.value : { engineId: '', tokenCount: 0 }
}

const SEVERITY: readonly Verdict[] = ['pass', 'suspect', 'fail']

/** The graver of what the auditor says and what its own statistics say: it may not call sound what they do not bear out. */
function judgedVerdict(
  report: AuditReport,
  proverEngine: string,
  job: LoggedJob,
  table: PolicyTable | undefined,
): Verdict {
  if (table === undefined || !SEVERITY.includes(report.verdict)) return 'abstain'
  const { temperatureMilli } = intentOf(job).sampling
  const shown = verdictOf(table, report, { proverEngine, verifierEngine: report.engineId, temperatureMilli })
  if (shown === 'abstain') return 'abstain'
  return SEVERITY[Math.max(SEVERITY.indexOf(shown), SEVERITY.indexOf(report.verdict))] ?? 'abstain'
}
