/** The edge's side of audits: asks those who were drawn, one after another, and collects what they report. */
import { openAs } from '../../core/identity/envelope.ts'
import type { Digest, PeerId } from '../../core/ids.ts'
import { auditAskCodec, auditShowCodec, auditShownCodec } from '../../core/job/audit-messages.ts'
import type { ClassAudit, Job, RevealedJob } from '../../core/job/job.ts'
import { type Bench, planAudits } from '../../core/job/judge.ts'
import { type AuditPlan, type AuditTask, auditOutcomes } from '../../core/job/judge-audits.ts'
import type { FindingProposal } from '../../core/job/proposal.ts'
import { findingProposalOf } from '../../core/job/proposing.ts'
import { openMessage } from '../../core/job/sealed-message.ts'
import { replicaInputsOf, seedsIn } from '../../core/log/inputs.ts'
import { policyOf } from '../../core/log/policies.ts'
import type { LoggedJob } from '../../core/log/state.ts'
import {
  type AuditReport,
  auditCodec,
  auditCommit,
  auditCommitCodec,
  probesAgree,
} from '../../core/verification/audit.ts'
import { REPORTS_MAX, reportsMissing } from '../../core/verification/auditing.ts'
import { revealCodec, textDigest } from '../../core/verification/commitment.ts'
import type { Verdict } from '../../core/verification/finding.ts'
import type { Performed } from '../runtime/loop.ts'
import type { CoordinatorPorts } from './coordinator.ts'
import { rosterOfJob } from './job-roster.ts'
import { sealFor } from './sealed.ts'
import { taken } from './taken.ts'

/** What an edge counts: `shadow` is a report that no thresholds judge, `silent` an auditor without a sound answer, `disputed` two that saw different logits. */
export type AuditCount = Exclude<Verdict, 'inconclusive'> | 'shadow' | 'silent' | 'disputed'

type Report = {
  readonly auditor: PeerId
  readonly envelope: Uint8Array
  readonly value: AuditReport
  readonly verdict: Verdict
}
type Committed = { readonly auditor: PeerId; readonly commit: Digest }

/** The slowest machine that is worth waiting for reads a token in this time, what stands in line before it included. */
const TOKEN_MS = 20
/** All audits of a job: its client may be waiting for the verdict, and settling needs time of its own. */
const AUDITS_MS_MAX = 120_000

export class Audits {
  readonly #options: { readonly requestMs: number }
  readonly #ports: CoordinatorPorts

  constructor(options: { readonly requestMs: number }, ports: CoordinatorPorts) {
    this.#options = options
    this.#ports = ports
  }

  /** An output that nobody could report on in time stays unaudited, which its finding says. */
  async collect(job: Job, signal: AbortSignal): Promise<Performed> {
    if (job.phase !== 'revealed') return { events: [], journaled: false }
    const { state, rosters, clock, facts, store } = this.#ports
    const roster = await rosterOfJob(rosters, state(), job.id, signal)
    const bench: Bench = { self: undefined, state: state(), roster, nowMs: clock.nowMs(), facts }
    const proposal = findingProposalOf(job, seedsIn(store.payload(job.id)))
    const plan = taken(planAudits(bench, proposal))
    const logged = state().jobs.get(job.id)
    if (plan === undefined || logged === undefined)
      return { events: [{ type: 'audited', audits: [] }], journaled: false }
    const leftMs = Math.ceil(Math.min(AUDITS_MS_MAX, (Number(job.hold.deadlineMs) - clock.nowMs()) / 2))
    const either = AbortSignal.any([signal, AbortSignal.timeout(Math.max(1, leftMs))])
    const about = { job, logged, plan, proposal }
    const audits = await Promise.all(plan.tasks.map((task) => this.#class(about, task, either)))
    // Asked again after a restart, whoever has reported says the same.
    if (signal.aborted) return 'retry'
    return {
      events: [{ type: 'audited', audits: audits.filter(({ reports }) => reports.length > 0) }],
      journaled: false,
    }
  }

  /**
   * One auditor first, and more where it has doubts or the lot wants a second one.
   *
   * Why those of a round commit before any of them shows: the second could else say what the first did. Those of a later round
   * could still be told by an edge; they are other owners than the first, and their probes are their own.
   */
  async #class(about: About, { members, auditors, isCoAudited }: AuditTask, signal: AbortSignal): Promise<ClassAudit> {
    const [first = 0] = members
    const reports: Report[] = []
    let asked = 0
    while (!signal.aborted) {
      const missing = reportsMissing(
        reports.map(({ verdict }) => verdict),
        isCoAudited,
      )
      const round = auditors.slice(asked, asked + missing)
      if (round.length === 0) break
      asked += round.length
      const committed = await Promise.all(round.map((auditor) => this.#ask(about, first, auditor, signal)))
      const shown = await Promise.all(committed.map((one) => one && this.#show(about, first, one, signal)))
      reports.push(...shown.filter((report) => report !== undefined))
    }
    this.#count(reports, asked, policyOf(this.#ports.state(), about.logged) === undefined)
    const speaking = reports.filter(({ verdict }) => verdict !== 'abstain')
    const kept = (speaking.length > 0 ? speaking : reports).slice(0, REPORTS_MAX)
    return { first, reports: kept.map(({ envelope }) => envelope) }
  }

  async #ask(
    { job, proposal }: About,
    replica: number,
    auditor: PeerId,
    signal: AbortSignal,
  ): Promise<Committed | undefined> {
    const { transport, store, state, clock } = this.#ports
    const { id: jobId, attempt, intent } = job
    const reveal = proposal.reveals[replica] ?? new Uint8Array()
    const { commitments, bitmap, signatures } = proposal
    const inputs = replicaInputsOf(store.payload(jobId), replica)
    const body = auditAskCodec.encode({ jobId, attempt, replica, commitments, bitmap, signatures, inputs, reveal })
    const { requestMs: deadlineMs } = this.#options
    const untilMs = clock.nowMs() + deadlineMs + TOKEN_MS * (intent.promptTokens + intent.maxTokens)
    try {
      const { message } = sealFor(this.#ports, auditor, 'audit/ask', jobId, body)
      let answer = await transport.request(auditor, 'audit/ask', message, { deadlineMs, signal })
      const again = auditShowCodec.encode({ jobId, attempt, replica })
      // It is at work: silent is who does not even say that.
      while (answer.length === 0 && clock.nowMs() < untilMs)
        answer = await transport.request(auditor, 'audit/wait', again, { deadlineMs, signal })
      const { value, signer } = taken(openAs(auditCommitCodec, answer, state().swarmId))
      const fits = value.jobId === jobId && value.attempt === attempt && value.replica === replica
      return fits && signer === auditor ? { auditor, commit: value.commit } : undefined
    } catch {
      // It has no such model, no room or no network: the next one is asked.
      return undefined
    }
  }

  async #show({ job, ...about }: About, replica: number, { auditor, commit }: Committed, signal: AbortSignal) {
    const { key, transport, state, misbehaved } = this.#ports
    const { id: jobId, attempt } = job
    const body = auditShowCodec.encode({ jobId, attempt, replica })
    const deadlineMs = this.#options.requestMs
    const answer = await transport.request(auditor, 'audit/show', body, { deadlineMs, signal }).catch(() => undefined)
    const { swarmId } = state()
    const opened = openMessage(key, { swarmId, kind: 'audit/show', from: auditor }, answer ?? new Uint8Array())
    const isOurs = opened.action === 'accept' && opened.value.jobId === jobId
    const shown = auditShownCodec.decode(isOurs ? opened.value.body : new Uint8Array())
    if (shown.action !== 'accept') return undefined
    const { report: envelope, salt } = shown.value
    const report = openAs(auditCodec, envelope, swarmId)
    const isTheirs = report.action === 'accept' && report.value.signer === auditor
    const isBound = isTheirs && auditCommit(swarmId, report.value.body, salt) === commit
    const verdict = isBound ? this.#verdict({ job, ...about }, replica, envelope, report.value.value) : undefined
    if (report.action === 'accept' && verdict !== undefined)
      return { auditor, envelope, value: report.value.value, verdict }
    misbehaved(auditor, 'audit_report')
    return undefined
  }

  /**
   * What validators will make of a report, or undefined when they would refuse the whole proposal for it.
   *
   * In shadow mode nothing is judged, and a report counts as one that has none but has spoken.
   */
  #verdict(
    { logged, plan, proposal }: About,
    first: number,
    envelope: Uint8Array,
    { verdict }: AuditReport,
  ): Verdict | undefined {
    const state = this.#ports.state()
    const { commitments, bitmap, signatures, reveals } = proposal
    const witnessed = { job: logged, attempt: logged.attempt, commitments, certificate: { bitmap, signatures } }
    const texts = reveals.map((reveal) => textOf(reveal))
    const table = policyOf(state, logged)
    const judged = auditOutcomes(state, plan, witnessed, { audits: [{ first, reports: [envelope] }], texts }, table)
    if (judged.action !== 'accept') return undefined
    if (table === undefined) return 'pass'
    const found = judged.value[first]?.verdict ?? 'none'
    // One that says something and yet is not judged is malformed.
    if (found === 'none') return verdict === 'abstain' ? 'abstain' : undefined
    return found
  }

  #count(reports: readonly Report[], asked: number, isShadow: boolean): void {
    const { audited } = this.#ports
    for (const { verdict, value } of reports) {
      const said = value.verdict === 'inconclusive' ? 'abstain' : value.verdict
      audited?.(isShadow ? 'shadow' : verdict === 'abstain' ? 'abstain' : said)
    }
    for (let silent = reports.length; silent < asked; silent += 1) audited?.('silent')
    const [one, other] = reports
    if (one !== undefined && other !== undefined && !probesAgree(one.value.probes, other.value.probes))
      audited?.('disputed')
  }
}

type About = {
  readonly job: RevealedJob
  readonly logged: LoggedJob
  readonly plan: AuditPlan
  readonly proposal: FindingProposal
}

function textOf(reveal: Uint8Array): Digest | undefined {
  const decoded = revealCodec.decode(reveal)
  return decoded.action === 'accept' ? textDigest(decoded.value.text) : undefined
}
