/** The edge's side of audits: asks those who were drawn, one after another, and collects what they report. */
import { FabricError } from '../../core/errors.ts'
import { openAs } from '../../core/identity/envelope.ts'
import type { Digest, PeerId } from '../../core/ids.ts'
import { auditAskCodec, auditShowCodec } from '../../core/job/audit-messages.ts'
import type { ClassAudit, Job, RevealedJob } from '../../core/job/job.ts'
import { type Bench, planAudits } from '../../core/job/judge.ts'
import { type AuditPlan, type AuditTask, hearClass } from '../../core/job/judge-audits.ts'
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
import { REPORTS_MAX } from '../../core/verification/auditing.ts'
import { revealCodec, textDigest } from '../../core/verification/commitment.ts'
import type { Verdict } from '../../core/verification/finding.ts'
import { reportsMissing, type Said } from '../../core/verification/panel.ts'
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
  readonly said: Said
}
type Committed = { readonly auditor: PeerId; readonly commit: Digest }

/** The slowest machine that is worth waiting for reads a token in this time, what stands in line before it included. */
const TOKEN_MS = 20
/** All audits of a job: its client may be waiting for the verdict, and settling needs time of its own. */
const AUDITS_MS_MAX = 120_000
/**
 * So long those that nobody could reach are asked again when nobody else is left: an edge that has just started knows no addresses yet,
 * and whoever is really gone is no member any more after this time.
 */
const UNREACHED_MS = 10_000
const UNREACHED_PAUSE_MS = 250

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
   * One auditor first, and more where it has doubts; a panel of three at once where the lot says so.
   *
   * Why those of a round commit before any of them shows, with spares for those that do not: a later one could else say what an earlier
   * one did. Each is told what the others are bound to, and signs that: of a panel validators count only who can show it. One that is
   * asked because the first has doubts could be told by an edge what they are; its own fellow of that round could not.
   */
  async #class(about: About, { members, auditors, isPanel }: AuditTask, signal: AbortSignal): Promise<ClassAudit> {
    const [first = 0] = members
    const reports: Report[] = []
    const left = [...auditors]
    while (!signal.aborted) {
      const wanted = reportsMissing(
        reports.map(({ said }) => said),
        isPanel,
      )
      const round = await this.#round(about, first, left, wanted, signal)
      if (round.length === 0) break
      reports.push(...(await this.#shownBy(about, first, round, signal)))
      // Whoever comes later than a panel was not bound when that was.
      if (isPanel) break
    }
    this.#count(reports, auditors.length - left.length, policyOf(this.#ports.state(), about.logged) === undefined)
    // By rank, as validators want them: some were reached later than those behind them.
    const ranked = reports.toSorted((a, b) => auditors.indexOf(a.auditor) - auditors.indexOf(b.auditor))
    const speaking = ranked.filter(({ said }) => said.verdict !== 'abstain')
    const kept = (speaking.length > 0 ? speaking : ranked).slice(0, REPORTS_MAX)
    return { first, reports: kept.map(({ envelope }) => envelope) }
  }

  /** So many commitments, as far as there are auditors. @param left  those that were not asked; it gives up whom it asks */
  async #round(
    about: About,
    first: number,
    left: PeerId[],
    wanted: number,
    signal: AbortSignal,
  ): Promise<readonly Committed[]> {
    const { clock } = this.#ports
    const untilMs = clock.nowMs() + UNREACHED_MS
    const committed: Committed[] = []
    const unreached: PeerId[] = []
    while (committed.length < wanted && !signal.aborted) {
      if (left.length === 0) {
        if (unreached.length === 0 || clock.nowMs() >= untilMs) break
        await clock.sleep(UNREACHED_PAUSE_MS, signal).catch(() => undefined)
        left.push(...unreached.splice(0))
      }
      const asked = left.splice(0, wanted - committed.length)
      const answers = await Promise.all(asked.map((auditor) => this.#ask(about, first, auditor, signal)))
      for (const [place, auditor] of asked.entries()) {
        const answer = answers[place]
        if (answer === 'unreached') unreached.push(auditor)
        else if (answer !== undefined) committed.push(answer)
      }
    }
    // A later round may reach them.
    left.push(...unreached)
    return committed
  }

  async #shownBy(about: About, first: number, round: readonly Committed[], signal: AbortSignal) {
    const shown = round.map((one) => {
      const others = round.filter((other) => other !== one).map(({ commit }) => commit)
      return this.#show(about, { replica: first, others }, one, signal)
    })
    return (await Promise.all(shown)).filter((report) => report !== undefined)
  }

  async #ask(
    { job, proposal }: About,
    replica: number,
    auditor: PeerId,
    signal: AbortSignal,
  ): Promise<Committed | 'unreached' | undefined> {
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
      const again = auditShowCodec.encode({ jobId, attempt, replica, others: [] })
      // It is at work: silent is who does not even say that.
      while (answer.length === 0 && clock.nowMs() < untilMs)
        answer = await transport.request(auditor, 'audit/wait', again, { deadlineMs, signal })
      const { value, signer } = taken(openAs(auditCommitCodec, answer, state().swarmId))
      const fits = value.jobId === jobId && value.attempt === attempt && value.replica === replica
      return fits && signer === auditor ? { auditor, commit: value.commit } : undefined
    } catch (error) {
      // It has no such model, no room or no network: the next one is asked.
      return error instanceof FabricError && error.code === 'CF_MESH_PEER_UNREACHABLE' ? 'unreached' : undefined
    }
  }

  async #show(
    about: About,
    { replica, others }: { readonly replica: number; readonly others: readonly Digest[] },
    { auditor, commit }: Committed,
    signal: AbortSignal,
  ): Promise<Report | undefined> {
    const { key, transport, state, misbehaved } = this.#ports
    const { id: jobId, attempt } = about.job
    const body = auditShowCodec.encode({ jobId, attempt, replica, others })
    const deadlineMs = this.#options.requestMs
    const answer = await transport.request(auditor, 'audit/show', body, { deadlineMs, signal }).catch(() => undefined)
    if (answer === undefined) return undefined
    const { swarmId } = state()
    const shown = openMessage(key, { swarmId, kind: 'audit/show', from: auditor }, answer)
    const isOurs = shown.action === 'accept' && shown.value.jobId === jobId
    const envelope = isOurs ? shown.value.body : new Uint8Array()
    const opened = openAs(auditCodec, envelope, swarmId)
    const isTheirs = opened.action === 'accept' && opened.value.signer === auditor
    const isBound = isTheirs && auditCommit(swarmId, opened.value.value) === commit
    const said = isBound ? this.#said(about, replica, envelope) : undefined
    if (opened.action === 'accept' && said !== undefined) return { auditor, envelope, value: opened.value.value, said }
    misbehaved(auditor, 'audit_report')
    return undefined
  }

  /**
   * What validators will make of a report, or undefined when they would refuse the whole proposal for it.
   *
   * In shadow mode nothing is judged, and a report counts as one that has no doubts.
   */
  #said({ logged, plan, proposal }: About, first: number, envelope: Uint8Array): Said | undefined {
    const state = this.#ports.state()
    const { commitments, bitmap, signatures, reveals } = proposal
    const witnessed = { job: logged, attempt: logged.attempt, commitments, certificate: { bitmap, signatures } }
    const audit = { first, reports: [envelope] }
    const text = textOf(reveals[first] ?? new Uint8Array())
    const table = policyOf(state, logged)
    const heard = hearClass(state, plan, witnessed, { audit, text }, table)
    const [report] = heard.action === 'accept' ? heard.value.reports : []
    if (report === undefined) return undefined
    if (table === undefined) return { ...report.said, verdict: 'pass' }
    // One that says something and yet is not judged is malformed.
    return report.said.verdict === 'abstain' && report.report.verdict !== 'abstain' ? undefined : report.said
  }

  #count(reports: readonly Report[], asked: number, isShadow: boolean): void {
    const { audited } = this.#ports
    for (const { said, value } of reports) {
      const verdict = value.verdict === 'inconclusive' ? 'abstain' : value.verdict
      audited?.(isShadow ? 'shadow' : said.verdict === 'abstain' ? 'abstain' : verdict)
    }
    for (let silent = reports.length; silent < asked; silent += 1) audited?.('silent')
    const shown = reports.flatMap(({ said, value }) => (said.verdict === 'abstain' ? [] : [value.probes]))
    const isDisputed = shown.some((probes) => shown.some((others) => !probesAgree(probes, others)))
    if (isDisputed) audited?.('disputed')
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
