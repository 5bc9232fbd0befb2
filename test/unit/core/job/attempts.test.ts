/** Attempts after the first: when the machine makes them, and when a validator votes for them. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { judgeAssignment } from '../../../../core/job/judge.ts'
import { assignmentOf } from '../../../../core/job/machine.ts'
import { owed } from '../../../../core/job/owed.ts'
import { assigned, runTo } from '../../../support/every-phase.ts'
import { expectAccepted, type JobRun, NOW_MS } from '../../../support/job-run.ts'
import { missing } from '../../../support/missing.ts'

const ANSWER_MS = 2_000
const twice = { attemptsMax: 2, intent: { replicas: 1 } } as const
const lost = { type: 'lost', replica: 0, reason: 'gone' } as const

function again(run: JobRun): void {
  assigned(run)
  run.tell(lost)
}

test('a job whose only replica is lost is drawn again, and does not wait for the lost one', () => {
  const run = runTo(assigned, twice)
  const [dead] = run.workers
  const job = run.tell(lost)
  assert.equal([job.phase, job.attempt, job.answers.length], ['admitted', 1, 1])
  assert.not.ok(owed(job).some((effect) => effect.type === 'offer' && effect.peer === dead))
  const next = run.answer(run.job.draw.ranked[1] ?? missing())
  assert.equal([next.phase, run.workers[0]], ['proposed', run.job.draw.ranked[1]])
})

test('the last attempt that is lost fails the job, which shows it', () => {
  const run = runTo(again, twice)
  run.answer(run.job.draw.ranked[1] ?? missing())
  run.assign()
  const job = run.tell(lost)
  assert.equal([job.phase, job.attempt], ['failed', 1])
  assert.is(job.phase === 'failed' && job.reason, 'all_replicas_lost')
})

test('when a later attempt finds nobody, the failed job is that of the attempt which the log knows', () => {
  const run = runTo(again, twice)
  for (const peer of run.job.draw.ranked.slice(1)) run.answer(peer, 'busy')
  const { job } = run
  assert.ok(job.phase === 'failed')
  if (job.phase !== 'failed') return
  assert.equal([job.attempt, job.reason, job.replicas[0]?.state], [0, 'no_workers', 'lost'])
  assert.ok(job.certificate !== null && job.assignment.length > 0)
  assert.is(run.settle().phase, 'settled')
})

test('one that never was assigned fails as attempt 0, whatever was tried', () => {
  const run = runTo((one) => {
    for (let attempt = 0; attempt < 2; attempt += 1) for (const peer of one.job.draw.ranked) one.answer(peer, 'busy')
  }, twice)
  assert.equal([run.job.phase, run.job.attempt], ['failed', 0])
})

test('a cancelled job is not drawn again', () => {
  const run = runTo(assigned, twice)
  run.tell({ type: 'stopped', stop: Uint8Array.of(1) })
  assert.is(run.tell(lost).phase, 'failed')
})

test('votes that do not come make the next attempt, and after the last one a refund', () => {
  const run = runTo((one) => one.answerAll(), twice)
  const early = NOW_MS + 4 * ANSWER_MS - 1
  assert.is(run.tell({ type: 'tick', nowMs: early }).phase, 'proposed')
  assert.equal([run.tell({ type: 'tick', nowMs: early + 1 }).phase, run.job.attempt], ['admitted', 1])
  run.answerAll()
  assert.is(run.tell({ type: 'tick', nowMs: NOW_MS + 16 * ANSWER_MS - 1 }).phase, 'proposed')
  assert.is(run.tell({ type: 'tick', nowMs: NOW_MS + 16 * ANSWER_MS }).phase, 'failed')
})

test('a stranded client is worth the rest of an attempt', () => {
  const run = runTo(assigned, { attemptsMax: 2 })
  run.tell({ type: 'streaming', replica: 0 })
  const job = run.tell({ ...lost, stranded: true })
  assert.equal([job.phase, job.attempt], ['admitted', 1])
})

test('the replica that is heard is followed by another, and by none while it lives', () => {
  const run = runTo(assigned, { attemptsMax: 2 })
  run.tell({ type: 'streaming', replica: 0 })
  run.tell({ type: 'streaming', replica: 1 })
  assert.is(run.job.phase === 'executing' && run.job.streamed, 0)
  run.tell(lost)
  run.tell({ type: 'streaming', replica: 1 })
  assert.is(run.job.phase === 'executing' && run.job.streamed, 1)
})

test('a validator votes for a later attempt until a finding is logged, and never for the logged one again', () => {
  const run = runTo(again, twice)
  const first = run.trail.find(({ job }) => job.phase === 'proposed')?.job
  run.answer(run.job.draw.ranked[1] ?? missing())
  expectAccepted(judgeAssignment(run.bench(), run.assignmentProposal))
  if (first?.phase !== 'proposed') return assert.unreachable()
  const answers = first.answers.map(({ envelope }) => envelope)
  const repeated = judgeAssignment(run.bench(), { assignment: first.assignment, answers })
  assert.is(repeated.action, 'ignore')
  assert.is(assignmentOf(first.assignment).attempt, 0)
})

test.run()
