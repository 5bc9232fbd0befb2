import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeEnvelope, openAs, seal, sealAs } from '../../../../core/identity/envelope.ts'
import type { PeerId } from '../../../../core/ids.ts'
import { judgeFindings } from '../../../../core/job/judge.ts'
import { type AuditPlan, type AuditTask, auditPlanOf } from '../../../../core/job/judge-audits.ts'
import { judgeCommitSet } from '../../../../core/job/judge-commits.ts'
import type { Validation } from '../../../../core/validation.ts'
import { type AuditReport, auditCodec, marginRoot, probePositions } from '../../../../core/verification/audit.ts'
import { auditsHash } from '../../../../core/verification/auditing.ts'
import { commitmentCodec, commitmentHash, textDigest } from '../../../../core/verification/commitment.ts'
import { type Finding, findingCodec, METHOD } from '../../../../core/verification/finding.ts'
import {
  ANY_CLASS,
  type PolicyTable,
  policyIdOf,
  policyTableCodec,
} from '../../../../core/verification/policy-table.ts'
import { committed, revealed, runTo } from '../../../support/every-phase.ts'
import { EDGE, expectAccepted, JobRun, OUTPUT, secretOf } from '../../../support/job-run.ts'
import { missing } from '../../../support/missing.ts'
import { bound, whereLot } from '../../../support/panels.ts'
import { digestNamed, keyNamed } from '../../../support/people.ts'

const NOTHING = new Uint8Array()

function said(validation: Validation<unknown>): string {
  if (validation.action === 'accept') return 'accept'
  const where = validation.action === 'reject' && validation.where !== undefined ? ` ${validation.where}` : ''
  return `${validation.action} ${validation.reason}${where}`
}

function findingsOf(run: JobRun, change: Partial<JobRun['findingProposal']> = {}): readonly Finding[] {
  const judged = expectAccepted(judgeFindings(run.bench(), { ...run.findingProposal, ...change }))
  return judged.map(({ body }) => expectAccepted(findingCodec.decode(body)))
}

function verdictsOf(run: JobRun, change: Partial<JobRun['findingProposal']> = {}): readonly string[] {
  return findingsOf(run, change).map(({ verdict, reason }) => (reason === 'none' ? verdict : `${verdict} ${reason}`))
}

test('where nobody witnesses, a commitment that is missing, forged or swapped fails its own replica only', () => {
  const run = runTo(revealed, { genesis: { local: true } })
  const { commitments } = run.findingProposal
  const first = (bytes: Uint8Array) => ({ commitments: [bytes, ...commitments.slice(1)] })
  assert.equal(verdictsOf(run, first(NOTHING)), ['fail no_commitment', 'pass', 'pass'])
  assert.equal(verdictsOf(run, first(Uint8Array.of(9))), ['fail no_commitment', 'pass', 'pass'])
  assert.equal(verdictsOf(run, first(commitments[1] ?? NOTHING)), ['fail commitment_mismatch', 'pass', 'pass'])
  assert.equal(verdictsOf(run, first(stolen(run, commitments[0]))), ['fail commitment_mismatch', 'pass', 'pass'])
})

test('a job that is witnessed is judged by the commitments that were, and by no others', () => {
  const run = runTo(revealed)
  const { commitments, bitmap } = run.findingProposal
  const findings = (change: Partial<JobRun['findingProposal']>) =>
    said(judgeFindings(run.bench(), { ...run.findingProposal, ...change }))
  for (const other of [NOTHING, Uint8Array.of(9), commitments[1] ?? NOTHING])
    assert.is(findings({ commitments: [other, ...commitments.slice(1)] }), 'reject signature_invalid signatures[0]')
  assert.is(findings({ bitmap: 0, signatures: NOTHING }), 'reject certificate_without_quorum bitmap')
  assert.is(findings({ bitmap: bitmap ^ 1 }), 'reject signature_malformed signatures')
})

test('validators witness only commitments of the attempt by the workers it was assigned to', () => {
  const run = runTo(committed)
  const { job } = run
  const commitments = job.phase === 'committed' ? (job.commitSet?.commitments ?? []) : []
  const witness = (list: readonly Uint8Array[]) =>
    said(judgeCommitSet(run.swarm.state, { assignment: run.assignment, commitments: list }))
  const [one = NOTHING, two = NOTHING, three = NOTHING] = commitments
  assert.is(witness([one, two, three]), 'accept')
  assert.is(witness([one, NOTHING, three]), 'accept')
  assert.is(witness([two, one, three]), 'reject proposal_mismatch commitment')
  assert.is(witness([stolen(run, one), two, three]), 'reject proposal_mismatch commitment')
  assert.is(witness([one, two]), 'reject proposal_mismatch replicas')
})

/** The same commitment under another's signature. */
function stolen(run: JobRun, envelope: Uint8Array | undefined): Uint8Array {
  const { swarmId } = run.swarm.state
  const { body } = expectAccepted(openAs(commitmentCodec, envelope ?? NOTHING, swarmId))
  return encodeEnvelope(seal('commitment', swarmId, body, keyNamed('thief')))
}

const ENGINE = 'llama.cpp/b1 0123456789ab haswell linux-x64'
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
const OTHER_OUTPUT: readonly number[] = [11, 12, 13, 15, 0]

/** A job whose three outputs have been revealed, and who was drawn to audit them. */
function audited(
  outputs: readonly (readonly number[])[],
  policy: PolicyTable | undefined = TABLE,
  isPanel = false,
): { readonly run: JobRun; readonly plan: AuditPlan } {
  return whereLot(isPanel, (nonce) => auditedUnder(nonce, outputs, policy))
}

function auditedUnder(nonce: bigint, outputs: readonly (readonly number[])[], policy: PolicyTable | undefined) {
  const run = new JobRun({ intent: { nonce }, ...(policy === undefined ? {} : { policy }) })
  run.execute(outputs)
  const { commitments, bitmap, signatures } = run.findingProposal
  const witnessed = { job: run.swarm.job(run.id), attempt: 0, commitments, certificate: { bitmap, signatures } }
  const names = outputs.map((ids) => ids.join())
  return { run, plan: auditPlanOf(run.swarm.state, run.roster, witnessed, names) }
}

/** What an auditor would sign that found this largest margin, in millionths of a nat. */
function report(
  { run, plan }: ReturnType<typeof audited>,
  { members }: AuditTask,
  auditor: PeerId | undefined,
  worstMicro: number,
  parts: Partial<AuditReport> = {},
): Uint8Array {
  const { swarmId } = run.swarm.state
  const [first = 0] = members
  const opened = expectAccepted(openAs(commitmentCodec, run.findingProposal.commitments[first] ?? NOTHING, swarmId))
  const { tokenCount } = opened.value
  const steps = Math.round((worstMicro * 256) / 1_000_000)
  const value: AuditReport = {
    ...{ jobId: run.id, attempt: 0, replica: first, worker: opened.signer },
    ...{ commitmentHash: commitmentHash(swarmId, opened.body), policyId: run.swarm.job(run.id).policyId },
    ...{ engineId: ENGINE, positions: tokenCount, overCount: worstMicro > 300_000 ? 1 : 0, worstMicro },
    ...{ meanMicro: Math.round(Math.min(worstMicro, 3_000_000) / tokenCount), stopMicro: 0 },
    ...{ outsideCount: worstMicro === 8_000_000 ? 1 : 0, marginRoot: marginRoot([]) },
    worst: steps > 0 ? [{ position: 1, margin256: steps, claimed: 12, best: 13 }] : [],
    probes: probePositions(plan.beacon, first, tokenCount).map((position) => ({
      ...{ position, topId: 1, gap256: 10, claimedGap256: 0 },
    })),
    ...{ verdict: 'pass', replayMs: 5, textDigest: textDigest('a text') },
    ...{ salt: new Uint8Array(32), others: [] },
    ...parts,
  }
  return sealAs(auditCodec, value, swarmId, secretOf(auditor))
}

/** Probes that all show one gap: what an auditor sees, or makes up. */
function probesOfGap({ run, plan }: ReturnType<typeof audited>, { members }: AuditTask, gap256: number) {
  const [first = 0] = members
  const opened = openAs(commitmentCodec, run.findingProposal.commitments[first] ?? NOTHING, run.swarm.state.swarmId)
  const at = probePositions(plan.beacon, first, expectAccepted(opened).value.tokenCount)
  return at.map((position) => ({ position, topId: 1, gap256, claimedGap256: 0 }))
}

const all = (plan: AuditPlan): AuditTask => plan.tasks[0] ?? missing('a task')

test('new workers are all audited, and equal outputs once, by nobody who has a part in the job', () => {
  const { run, plan } = audited([OUTPUT, OUTPUT, OUTPUT])
  assert.equal(
    plan.tasks.map(({ members }) => members),
    [[0, 1, 2]],
  )
  const { auditors } = all(plan)
  assert.is(auditors.length, 6)
  assert.not.ok([...run.workers, EDGE.peer].some((peer) => auditors.includes(peer)))
})

test('one report that finds nothing makes all equal outputs pass as audited, under the table that the job was held under', () => {
  const swarm = audited([OUTPUT, OUTPUT, OUTPUT])
  const task = all(swarm.plan)
  const reports = [report(swarm, task, task.auditors[0], 0)]
  const findings = findingsOf(swarm.run, { audits: [{ first: 0, reports }] })
  for (const finding of findings) {
    assert.is(finding.verdict, 'pass')
    assert.is(finding.methods, METHOD.structure | METHOD.exact | METHOD.prefill)
    assert.is(finding.policyId, policyIdOf(policyTableCodec.encode(TABLE)))
    assert.is(finding.auditsHash, auditsHash(reports))
    assert.ok(finding.evidenceMicro < 0)
  }
})

test('two that doubt fail an output although all replicas agree on it; one that does is outvoted by two', () => {
  const swarm = audited([OUTPUT, OUTPUT, OUTPUT])
  const task = all(swarm.plan)
  const [a, b, c] = task.auditors
  const by = (auditor: PeerId | undefined, worst: number) => report(swarm, task, auditor, worst)
  const verdict = (...reports: readonly Uint8Array[]) => verdictsOf(swarm.run, { audits: [{ first: 0, reports }] })[0]
  assert.is(verdict(by(a, 8_000_000), by(b, 8_000_000)), 'fail audit_failed')
  assert.is(verdict(by(a, 8_000_000), by(b, 0), by(c, 0)), 'pass')
  assert.is(verdict(by(a, 8_000_000)), 'suspect audit_suspect')
  assert.is(verdict(by(a, 0), by(b, 1_000_001), by(c, 1_000_001)), 'fail audit_failed')
  const reports = [by(a, 2_000_000), by(b, 0), by(c, 0)]
  const [outvoted] = findingsOf(swarm.run, { audits: [{ first: 0, reports }] })
  assert.ok(outvoted?.verdict === 'pass' && outvoted.evidenceMicro > 0, 'a doubt that was outvoted is remembered')
  assert.equal([outvoted.auditors, outvoted.outvoted], [[b, c], [a]])
})

test('a report whose probes nobody shares counts for nothing: three lone ones make no pass, and two that agree outvote it', () => {
  const swarm = audited([OUTPUT, OUTPUT, OUTPUT])
  const task = all(swarm.plan)
  const [a, b, c] = task.auditors
  const by = (auditor: PeerId | undefined, gap256: number, worst = 0) =>
    report(swarm, task, auditor, worst, { probes: probesOfGap(swarm, task, gap256) })
  const first = (...reports: readonly Uint8Array[]) => findingsOf(swarm.run, { audits: [{ first: 0, reports }] })[0]
  const alone = first(by(a, 1_000), by(b, 10))
  assert.equal([alone?.verdict, alone?.methods, alone?.auditors], ['pass', METHOD.structure | METHOD.exact, []])
  assert.is(first(by(a, 1_000), by(b, 10), by(c, 2_000))?.methods, METHOD.structure | METHOD.exact)
  assert.is(first(by(a, 1_000), by(b, 10, 8_000_000))?.verdict, 'suspect', 'a doubt that nobody shares remains one')
  const lazy = first(by(a, 1_000), by(b, 10, 8_000_000), by(c, 20, 8_000_000))
  assert.equal([lazy?.verdict, lazy?.auditors, lazy?.outvoted], ['fail', [b, c], [a]])
  const slander = first(by(a, 1_000, 8_000_000), by(b, 10), by(c, 20))
  assert.equal([slander?.verdict, slander?.auditors, slander?.outvoted], ['pass', [b, c], [a]])
})

test('of a panel those count that were bound before either was shown, and one alone makes no pass', () => {
  const swarm = audited([OUTPUT, OUTPUT, OUTPUT], TABLE, true)
  const task = all(swarm.plan)
  const { swarmId } = swarm.run.swarm.state
  const reports = task.auditors.slice(0, 3).map((auditor) => report(swarm, task, auditor, 0))
  const first = (list: readonly Uint8Array[]) => findingsOf(swarm.run, { audits: [{ first: 0, reports: list }] })[0]
  const methods = (list: readonly Uint8Array[]) => first(list)?.methods
  const unaudited = METHOD.structure | METHOD.exact
  assert.is(methods(bound(swarmId, reports)), unaudited | METHOD.prefill)
  assert.is(methods(bound(swarmId, reports.slice(0, 2))), unaudited | METHOD.prefill)
  assert.is(methods(reports), unaudited, 'nobody can show that it did not copy')
  const [one, ...others] = bound(swarmId, reports)
  assert.is(
    methods([one ?? NOTHING, ...reports.slice(1)]),
    unaudited,
    'what one was told of the others binds them alone',
  )
  assert.equal(first([one ?? NOTHING, ...reports.slice(1)])?.outvoted, [], 'it is no fault of the auditors')
  assert.is(methods([one ?? NOTHING]), unaudited)
  assert.is(first([report(swarm, task, task.auditors[0], 8_000_000)])?.verdict, 'suspect')
  assert.is(others.length, 2)
})

test('an output that stands alone passes when its audit does, and one that an audit fails stays alone', () => {
  const swarm = audited([OUTPUT, OUTPUT, OTHER_OUTPUT])
  const [pair, lone] = swarm.plan.tasks
  assert.equal([pair?.members, lone?.members], [[0, 1], [2]])
  if (pair === undefined || lone === undefined) return
  const sound = { first: 0, reports: [report(swarm, pair, pair.auditors[0], 0)] }
  const audits = (worst: number) => [
    sound,
    { first: 2, reports: lone.auditors.slice(0, 2).map((peer) => report(swarm, lone, peer, worst)) },
  ]
  assert.equal(verdictsOf(swarm.run, { audits: audits(0) }), ['pass', 'pass', 'pass'])
  assert.equal(verdictsOf(swarm.run, { audits: audits(2_000_000) }), ['pass', 'pass', 'fail audit_failed'])
  assert.equal(verdictsOf(swarm.run, { audits: [sound] }), ['pass', 'pass', 'inconclusive'])
})

test('without a table reports are kept and judge nobody', () => {
  const swarm = audited([OUTPUT, OUTPUT, OUTPUT], undefined)
  const task = all(swarm.plan)
  const reports = task.auditors.slice(0, 2).map((peer) => report(swarm, task, peer, 8_000_000, { verdict: 'abstain' }))
  const [finding] = findingsOf(swarm.run, { audits: [{ first: 0, reports }] })
  assert.is(finding?.verdict, 'pass')
  assert.is(finding?.methods, METHOD.structure | METHOD.exact)
  assert.is(finding?.auditsHash, auditsHash(reports))
  assert.is(finding?.evidenceMicro, 0)
})

test('text that the ids do not spell is a doubt, whatever the margins are; numbers that do not fit each other say nothing', () => {
  const swarm = audited([OUTPUT, OUTPUT, OUTPUT])
  const task = all(swarm.plan)
  const both = (parts: Partial<AuditReport>) => {
    const reports = task.auditors.slice(0, 2).map((peer) => report(swarm, task, peer, 0, parts))
    return verdictsOf(swarm.run, { audits: [{ first: 0, reports }] })[0]
  }
  assert.is(both({}), 'pass')
  assert.is(both({ textDigest: textDigest('another text') }), 'fail audit_failed')
  const [lied] = findingsOf(swarm.run, {
    audits: [{ first: 0, reports: [report(swarm, task, task.auditors[0], 0, { positions: 4, verdict: 'fail' })] }],
  })
  assert.is(lied?.methods, METHOD.structure | METHOD.exact)
})

test('reports of others, out of order, twice, or about something else are no proposal at all', () => {
  const swarm = audited([OUTPUT, OUTPUT, OTHER_OUTPUT])
  const task = all(swarm.plan)
  const [a, b] = task.auditors
  const by = (auditor: PeerId | undefined, parts: Partial<AuditReport> = {}) => report(swarm, task, auditor, 0, parts)
  const judged = (first: number, ...reports: readonly Uint8Array[]) =>
    said(judgeFindings(swarm.run.bench(), { ...swarm.run.findingProposal, audits: [{ first, reports }] }))
  assert.is(judged(0, by(a), by(b)), 'accept')
  assert.is(judged(0, by(b), by(a)), 'reject proposal_mismatch auditor')
  assert.is(judged(0, by(a), by(a)), 'reject proposal_mismatch auditor')
  assert.is(judged(0, by(swarm.run.workers[0])), 'reject proposal_mismatch auditor')
  assert.is(judged(0, by(EDGE.peer)), 'reject proposal_mismatch auditor')
  assert.is(judged(1, by(a)), 'reject proposal_mismatch audits')
  assert.is(judged(0), 'reject proposal_mismatch audits')
  const elsewhere = swarm.run.roster.members.find(({ peer }) => !swarm.plan.tasks[1]?.auditors.includes(peer))
  assert.is(judged(2, by(elsewhere?.peer)), 'reject proposal_mismatch auditor')
  for (const parts of [{ replica: 1 }, { attempt: 1 }, { policyId: digestNamed('other') }, { jobId: digestNamed('x') }])
    assert.is(judged(0, by(a, parts)), 'reject proposal_mismatch audit')
  assert.is(judged(0, stolen(swarm.run, swarm.run.findingProposal.commitments[0])), 'reject envelope_type_mismatch')
})

test.run()
