import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { sealAs } from '../../../../core/identity/envelope.ts'
import type { PeerId } from '../../../../core/ids.ts'
import { judgeRuling, type RulingProposal, refereesOf } from '../../../../core/job/judge-dispute.ts'
import { LIMITS } from '../../../../core/limits.ts'
import { disputeCodec } from '../../../../core/log/bodies.ts'
import { correctionCodec, correctionEntryCodec } from '../../../../core/log/bodies-certified.ts'
import type { Validation } from '../../../../core/validation.ts'
import { auditCodec } from '../../../../core/verification/audit.ts'
import { type RefereeVote, refereeVoteCodec } from '../../../../core/verification/dispute.ts'
import { EDGE, expectAccepted, NOW_MS, secretOf } from '../../../support/job-run.ts'
import { ALICE, applied } from '../../../support/log-swarm.ts'
import { missing } from '../../../support/missing.ts'
import { digestNamed, keyNamed } from '../../../support/people.ts'
import { settledRun } from '../../../support/settled-job.ts'

/** A settled job of one replica that its user disputes, and the referees of that. */
function disputed() {
  const { run } = settledRun('one')
  const { state } = run.swarm
  const body = { jobId: run.id, attempt: 0, replica: 0, claim: 'reject', number: 0 } as const
  run.swarm.nowMs = BigInt(NOW_MS)
  applied(run.swarm.apply('dispute', sealAs(disputeCodec, body, state.swarmId, ALICE)))
  const job = run.swarm.job(run.id)
  const dispute = job.disputes[0] ?? missing()
  const referees = expectAccepted(refereesOf(state, run.roster, job, dispute, []))
  const vote = (peer: PeerId, verdict: RefereeVote['verdict'], change: Partial<RefereeVote> = {}): Uint8Array => {
    const { commitmentHash } = job.findings[0] ?? missing()
    const figures = { positions: 5, meanMicro: 9, worstMicro: 9, outsideCount: 0, stopMicro: 0 }
    const about = { jobId: job.id, dispute: dispute.hash, replica: 0, commitmentHash, policyId: job.policyId }
    const rest = { engineId: 'toy', marginRoot: digestNamed('root'), verdict, reason: 'none', ...change }
    return sealAs(refereeVoteCodec, { ...about, ...figures, ...rest }, state.swarmId, secretOf(peer))
  }
  const judge = (votes: readonly Uint8Array[], change: Partial<RulingProposal> = {}, nowMs = NOW_MS) =>
    judgeRuling(
      { ...run.bench(), nowMs },
      { jobId: job.id, dispute: dispute.hash, attempt: 0, audits: [], votes, ...change },
    )
  return { run, job, dispute, referees, vote, judge }
}

function said(validation: Validation<unknown>): string {
  if (validation.action === 'accept') return 'accept'
  return `${validation.action} ${validation.reason}${validation.action === 'reject' ? ` ${validation.where}` : ''}`
}

test('seven referees who have no part in it are drawn, and five of them decide', () => {
  const { run, job, referees, vote, judge } = disputed()
  assert.is(referees.length, 7)
  for (const peer of referees) assert.not(peer === EDGE.peer || job.workers.includes(peer))
  const votes = (count: number) => referees.map((peer, place) => vote(peer, place < count ? 'fail' : 'pass'))
  const { verdict, statement, body } = expectAccepted(judge(votes(5)))
  assert.equal(verdict, { outcome: 'upheld', why: 'decided' })
  assert.equal(expectAccepted(correctionCodec.decode(body)).referees, referees.slice(0, 5))
  assert.is(expectAccepted(judge(votes(4))).verdict.outcome, 'inconclusive')
  assert.is(expectAccepted(judge(votes(2))).verdict.outcome, 'rejected')
  const entry = { correction: body, attempt: 0, ...run.swarm.certificate(statement) }
  applied(run.swarm.apply('correction', correctionEntryCodec.encode(entry)))
  assert.is(run.swarm.job(run.id).disputes[0]?.outcome, 'upheld')
  assert.is(said(judge(votes(5))), 'ignore stale')
})

test('votes of others, of another case, twice or under other thresholds make the proposal wrong', () => {
  const { referees, job, vote, judge } = disputed()
  const [first = missing(), second = missing()] = referees
  const all = referees.map((peer) => vote(peer, 'fail'))
  const stranger = job.workers[0] ?? missing()
  assert.is(said(judge([...all.slice(1), vote(stranger, 'fail')])), 'reject proposal_mismatch referee')
  assert.is(said(judge([vote(first, 'fail'), vote(first, 'fail')])), 'reject proposal_mismatch referee')
  for (const change of [
    { dispute: digestNamed('other') },
    { replica: 1 },
    { policyId: digestNamed('table') },
    { commitmentHash: digestNamed('output') },
  ])
    assert.is(said(judge([vote(first, 'fail', change), ...all.slice(1)])), 'reject proposal_mismatch vote')
  const forged = all[1]?.map((byte, place, bytes) => (place === bytes.length - 1 ? byte ^ 1 : byte)) ?? missing()
  assert.is(said(judge([all[0] ?? missing(), forged])), 'reject signature_invalid undefined')
  assert.ok(second !== first)
})

test('with silent referees nothing is inconclusive before their time is over', () => {
  const { referees, vote, judge } = disputed()
  const few = referees.slice(0, 3).map((peer) => vote(peer, 'fail'))
  assert.is(said(judge(few)), 'reject proposal_mismatch votes')
  assert.is(expectAccepted(judge(few, {}, NOW_MS + LIMITS.refereeMs)).verdict.outcome, 'inconclusive')
  const abstaining = referees.slice(3).map((peer) => vote(peer, 'abstain'))
  assert.is(expectAccepted(judge([...few, ...abstaining])).verdict.outcome, 'upheld')
})

test('who audited the job is no referee, and a list of reports that is none is refused', () => {
  const { run, job, dispute, referees, vote, judge } = disputed()
  const { state } = run.swarm
  const [auditor = missing()] = referees
  const report = sealAs(
    auditCodec,
    {
      ...{ jobId: job.id, attempt: 0, replica: 0, worker: job.workers[0] ?? missing(), commitmentHash: job.id },
      ...{ policyId: job.policyId, engineId: 'toy', positions: 5, meanMicro: 0, overCount: 0, worstMicro: 0 },
      ...{ outsideCount: 0, stopMicro: 0, marginRoot: job.id, worst: [], probes: [], verdict: 'pass', replayMs: 1 },
      textDigest: job.id,
      ...{ salt: new Uint8Array(32), others: [] },
    },
    state.swarmId,
    secretOf(auditor),
  )
  const audits = [{ first: 0, reports: [report] }]
  const others = expectAccepted(refereesOf(state, run.roster, job, dispute, audits))
  assert.not(others.includes(auditor))
  assert.is(said(judge([vote(auditor, 'fail')], { audits })), 'reject proposal_mismatch referee')
  assert.is(said(judge([], { audits: [{ first: 0, reports: [new Uint8Array(3)] }] })).split(' ')[0], 'reject')
  const named = { ...job, findings: job.findings.map((finding) => ({ ...finding, auditsHash: job.id })) }
  assert.is(said(refereesOf(state, run.roster, named, dispute, audits)), 'reject proposal_mismatch audits')
  assert.is(said(judge([], { dispute: digestNamed('none') })), 'ignore unknown_parent')
  assert.ok(keyNamed('edge').peer === EDGE.peer)
})

test.run()
