/** The audits that a finding rests on: who had to report, what was reported, under which table, and what follows from it. */
import { openAs } from '../identity/envelope.ts'
import type { Digest, PeerId, SwarmId } from '../ids.ts'
import { assignmentCodec } from '../log/assignment.ts'
import { statementOf } from '../log/authority.ts'
import { genesisRoster } from '../log/genesis.ts'
import { checkCertificate } from '../quorum/certificate.ts'
import type { RosterSnapshot } from '../roster/roster.ts'
import { type AuditReport, auditCodec, auditCommit, probesAgree } from '../verification/audit.ts'
import { auditBeacon, auditorsFor, auditsHash, commitSetDigest, isPanel } from '../verification/auditing.ts'
import { commitmentHash, textDigest } from '../verification/commitment.ts'
import type { Verdict } from '../verification/finding.ts'
import { panelOf, type Said } from '../verification/panel.ts'
import { type PolicyTable, policyIdOf, policyTableCodec, verdictOf } from '../verification/policy-table.ts'
import { isReportOf } from '../verification/report.ts'
import { type Case, type EvidenceCheck, failed, NO_DIGEST, passed, unchecked } from './evidence-case.ts'
import type { ReceiptTrust } from './verify.ts'

type Signed = { readonly report: AuditReport; readonly signer: PeerId }

/** @returns  undefined for an envelope that is no report of this swarm */
export function bodyOfReport(envelope: Uint8Array, swarmId: SwarmId): AuditReport | undefined {
  const opened = openAs(auditCodec, envelope, swarmId)
  return opened.action === 'accept' ? opened.value.value : undefined
}

/** Of a finding without reports there is nothing to check, unless it says that there are some. */
export function checkAudits(found: Case, trust: ReceiptTrust): readonly EvidenceCheck[] {
  const { file, finding } = found
  if (finding.auditsHash === NO_DIGEST && file.reports.length === 0)
    return [unchecked('audits', 'the finding rests on none')]
  if (auditsHash(file.reports) !== finding.auditsHash)
    return [failed('audits', 'these are not the reports that the finding names')]
  const commitSet = commitSetCheck(found)
  const reports = reportsOf(found)
  if (reports === undefined) return [commitSet, failed('audits', 'a report is not signed, or is about another output')]
  return [
    commitSet,
    passed('audits', `${reports.length} signed reports about this output`),
    auditorsCheck(found, reports, trust),
    policyCheck(found, reports),
    verdictCheck(found, reports),
    probesCheck(found, reports),
  ]
}

function commitSetCheck({ file, finding, facts, state, receipt, commitmentBodies }: Case): EvidenceCheck {
  const name = 'commit set'
  const { hashes, bitmap, signatures } = file.commitSet
  const made = commitmentBodies.map((body) => (body === undefined ? NO_DIGEST : commitmentHash(facts.swarmId, body)))
  const isSame =
    hashes.length >= made.length && made.every((hash, replica) => hash === NO_DIGEST || hashes[replica] === hash)
  if (!isSame || receipt.execution.commitments.length === 0) return failed(name, 'not of these commitments')
  const { attempt } = finding
  const digest = commitSetDigest(hashes)
  const statement = statementOf(state, 'commit-set', { subject: facts.jobId, attempt, index: 0, digest })
  const signed = checkCertificate(facts.swarmId, state.validators, statement, { bitmap, signatures })
  return signed.action === 'accept'
    ? passed(name, `${state.validators.quorum} validators signed it before anything was revealed`)
    : failed(name, 'no quorum signed it')
}

/** @returns undefined when one is not signed, or is not about the output of this class */
function reportsOf({ file, facts, finding, commitmentBodies }: Case): readonly Signed[] | undefined {
  const body = commitmentBodies[file.first]
  const audited = body === undefined ? undefined : commitmentHash(facts.swarmId, body)
  // One report stands for all replicas with this output: the class's first must have the same.
  if (facts.findings[file.first]?.tokensRoot !== finding.tokensRoot) return undefined
  const reports = file.reports.flatMap((envelope): readonly Signed[] => {
    const opened = openAs(auditCodec, envelope, facts.swarmId)
    if (opened.action !== 'accept') return []
    const { value: report, signer } = opened.value
    const isOurs = report.jobId === facts.jobId && report.replica === file.first && report.commitmentHash === audited
    return isOurs ? [{ report, signer }] : []
  })
  return reports.length === file.reports.length ? reports : undefined
}

function auditorsCheck(found: Case, reports: readonly Signed[], { rosters }: ReceiptTrust): EvidenceCheck {
  const name = 'auditors'
  const { file, facts } = found
  const roster = rosterOf(found, rosters)
  if (roster === undefined) return unchecked(name, 'needs --roster: the draw is from the roster of the job')
  const beacon = beaconOf(found)
  const involved = [...(facts.assignment?.workers ?? []), facts.edge]
  const drawn = auditorsFor(roster, beacon, file.first, involved)
  const strangers = reports.filter(({ signer }) => !drawn.includes(signer))
  return strangers.length === 0
    ? passed(name, 'each was drawn by the audit beacon')
    : failed(name, `${strangers.length} of ${reports.length} reports are of peers that were not drawn`)
}

export function beaconOf({ file, facts, finding }: Case): Digest {
  return auditBeacon(facts.jobId, finding.attempt, commitSetDigest(file.commitSet.hashes), file.commitSet)
}

/** Of epoch 0 the genesis in the receipt is the roster. */
function rosterOf(
  { receipt, state }: Case,
  rosters: ReadonlyMap<string, RosterSnapshot> = new Map(),
): RosterSnapshot | undefined {
  const assignment = assignmentCodec.decode(receipt.assignment.body)
  const root: Digest | undefined = assignment.action === 'accept' ? assignment.value.rosterRoot : undefined
  const first = genesisRoster(state.genesis)
  return root === first.root ? first : rosters.get(root ?? '')
}

function policyCheck({ file, finding }: Case, reports: readonly Signed[]): EvidenceCheck {
  const name = 'policy'
  const named = new Set(reports.map(({ report }) => report.policyId))
  if (file.policy.length === 0)
    return [...named].every((id) => id === NO_DIGEST)
      ? unchecked(name, 'no table was in force: reports are kept and judge nobody')
      : failed(name, 'the table that the reports name is missing')
  const id = policyIdOf(file.policy)
  return [...named].every((one) => one === id) && finding.policyId === id
    ? passed(name, `table ${id.slice(0, 12)}, as the reports and the finding name it`)
    : failed(name, 'the reports or the finding name another table')
}

/** What each report counts for follows from its figures under the table, and the finding from those together. */
function verdictCheck(found: Case, reports: readonly Signed[]): EvidenceCheck {
  const name = 'verdict'
  const { file, finding } = found
  const table = policyTableCodec.decode(file.policy)
  if (table.action !== 'accept') return unchecked(name, 'without a table reports judge nobody')
  const counted = saidBy(found, reports, table.value)
  const { verdict: said } = panelOf(counted, isPanel(beaconOf(found), file.first))
  const claimed = finding.reason === 'audit_failed' ? 'fail' : finding.reason === 'audit_suspect' ? 'suspect' : 'pass'
  const isSame = said === claimed || (claimed === 'pass' && said === 'none')
  // What fails by itself fails whatever auditors say.
  const failsByItself = !['none', 'audit_failed', 'audit_suspect'].includes(finding.reason)
  if (!isSame && !failsByItself) return failed(name, `the reports say ${said}, the finding ${claimed}`)
  return passed(name, `${counted.map(({ verdict }) => verdict).join(', ')}: together ${said}`)
}

function saidBy(found: Case, reports: readonly Signed[], table: PolicyTable): readonly Said[] {
  return reports.map(({ report }) => ({
    ...{ verdict: countedVerdict(found, report, table), probes: report.probes, others: report.others },
    commit: auditCommit(found.facts.swarmId, report),
  }))
}

const SEVERITY: readonly Verdict[] = ['pass', 'suspect', 'fail']

/** The graver of what the auditor says and what its own figures say; other text than the ids spell is a lie whatever the figures are. */
function countedVerdict(found: Case, report: AuditReport, table: PolicyTable): Verdict {
  const { reveal, commitment, facts } = found
  // Figures that do not fit each other say nothing.
  if (!isReportOf(report, commitment?.tokenCount ?? 0, beaconOf(found))) return 'abstain'
  if (reveal !== undefined && report.textDigest !== textDigest(reveal.text)) return 'fail'
  if (!SEVERITY.includes(report.verdict)) return 'abstain'
  const { temperatureMilli } = facts.intent.sampling
  const engines = { proverEngine: commitment?.engineId ?? '', verifierEngine: report.engineId }
  const shown = verdictOf(table, report, { ...engines, temperatureMilli })
  if (shown === 'abstain') return 'abstain'
  return SEVERITY[Math.max(SEVERITY.indexOf(shown), SEVERITY.indexOf(report.verdict))] ?? 'abstain'
}

/** One that two others contradict is no fault of what they found; where no two agree there is nothing to go by. */
function probesCheck(found: Case, reports: readonly Signed[]): EvidenceCheck {
  const name = 'probes'
  const shown = reports.filter(({ report }) => report.verdict !== 'abstain')
  if (shown.length < 2) return unchecked(name, 'fewer than two reports to compare')
  const apart = shown.filter(
    ({ report }) =>
      shown.filter((other) => !probesAgree(report.probes, other.report.probes)).length >= shown.length / 2,
  )
  const outvoted = found.facts.findings[found.file.first]?.outvoted ?? []
  if (apart.length === 0) return passed(name, `${shown.length} auditors show the same logits`)
  if (apart.every(({ signer }) => outvoted.includes(signer)))
    return passed(name, `${shown.length - apart.length} auditors show the same logits, ${apart.length} outvoted`)
  return failed(
    name,
    `${apart.length} of ${shown.length} auditors contradict another: one of them did not run the model`,
  )
}
