import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Job, JobEvent, Phase } from '../../../../core/job/job.ts'
import { PHASES } from '../../../../core/job/job.ts'
import { assignmentOf, step } from '../../../../core/job/machine.ts'
import { NEXT_PHASE } from '../../../../core/job/phases.ts'
import { REASON_PAID } from '../../../../core/ledger/settlement.ts'
import { assigned, certify, committed, everyPhase, revealed, runTo, verified } from '../../../support/every-phase.ts'
import { JobRun, NOW_MS, OUTPUT } from '../../../support/job-run.ts'
import { NO_SIGNATURES } from '../../../support/log-swarm.ts'
import { keyNamed } from '../../../support/people.ts'

/** `<phase>/<event>` of every cell that some test has seen to change the phase. */
const seen = new Set<string>()

function tells(run: JobRun, event: JobEvent, phase: Phase): Job {
  const before = run.job.phase
  run.tell(event)
  assert.is(run.job.phase, phase, `${before}/${event.type}`)
  if (phase !== 'failed') seen.add(`${before}/${event.type}`)
  return run.job
}

function answered(run: JobRun, place: number, answer: 'accept' | 'busy' = 'accept'): JobEvent {
  const peer = run.job.draw.ranked[place] ?? keyNamed('nobody').peer
  return { type: 'answered', peer, answer, envelope: run.answerOf(peer, answer), nowMs: NOW_MS }
}

function silent(run: JobRun, place: number): JobEvent {
  return { type: 'silent', peer: run.job.draw.ranked[place] ?? keyNamed('nobody').peer, nowMs: NOW_MS }
}

const settledEvent: JobEvent = {
  type: 'settlement-logged',
  outcome: 'refunded',
  body: new Uint8Array(),
  certificate: null,
}
const lost = (replica: number): JobEvent => ({ type: 'lost', replica, reason: 'gone' })

test('the third acceptance proposes, and the workers are the accepting peers in rank order', () => {
  const run = runTo()
  const { ranked } = run.job.draw
  assert.is(ranked.length, 6)
  for (const place of [2, 1]) tells(run, answered(run, place), 'admitted')
  tells(run, answered(run, 0), 'proposed')
  assert.equal(run.workers, ranked.slice(0, 3))
})

test('propose waits for every better-ranked peer, and a busy or silent one makes room for the next', () => {
  const run = runTo()
  const { ranked } = run.job.draw
  for (const place of [3, 4, 5, 2]) tells(run, answered(run, place), 'admitted')
  tells(run, answered(run, 0, 'busy'), 'admitted')
  tells(run, silent(run, 1), 'proposed')
  assert.equal(run.workers, ranked.slice(2, 5))
  assert.equal(
    run.job.answers.map(({ peer }) => peer),
    ranked.slice(0, 5),
  )
  assert.is(run.assignmentProposal.answers.length, 4, 'silence has no envelope')
})

test('too few acceptances fail the job as no_workers', () => {
  const run = runTo()
  for (const place of [0, 1]) tells(run, answered(run, place), 'admitted')
  for (const place of [2, 3, 4]) tells(run, answered(run, place, 'busy'), 'admitted')
  const job = tells(run, silent(run, 5), 'failed')
  assert.is(job.phase === 'failed' && job.reason, 'no_workers')
})

test('a repeated answer and one of a peer that was not drawn are ignored', () => {
  const run = runTo()
  const once = run.tell(answered(run, 0, 'busy'))
  assert.is(run.tell(answered(run, 0)), once)
  assert.is(run.tell({ type: 'silent', peer: keyNamed('v0').peer, nowMs: NOW_MS }), once)
})

test('answers near the deadline shorten the time to work, so that the assignment still fits its hold', () => {
  const run = runTo()
  run.nowMs = Number(run.job.hold.deadlineMs) - 60_000
  run.answerAll()
  const { commitByMs, revealByMs } = assignmentOf(run.assignment)
  assert.is(revealByMs, run.job.hold.deadlineMs)
  assert.is(commitByMs, run.job.hold.deadlineMs - 30_000n)
  run.assign()
  assert.is(run.job.phase, 'executing')
})

test('a user may cancel while nobody works, and not later', () => {
  const run = runTo()
  const job = tells(run, { type: 'cancel' }, 'failed')
  assert.is(job.phase === 'failed' && job.reason, 'cancelled')
  seen.add('admitted/cancel')
  for (const state of [runTo((other) => other.answerAll()), runTo(assigned), runTo(committed), runTo(verified)]) {
    assert.is(step(state.job, { type: 'cancel' }), state.job)
  }
})

test('certificate and log entry lead from proposed to executing, each once', () => {
  const run = runTo((early) => early.answerAll())
  tells(run, certify(run), 'assigned')
  assert.is(step(run.job, { ...certify(run) }), run.job)
  const job = tells(run, { type: 'assignment-logged' }, 'executing')
  assert.equal(job.phase === 'executing' && job.replicas.map(({ state }) => state), ['running', 'running', 'running'])
  assert.is(step(job, { type: 'assignment-logged' }), job)
})

test('nobody is asked to reveal before all have committed or are lost', () => {
  const run = runTo(assigned)
  tells(run, { type: 'committed', replica: 1, commitment: run.claim(1).commitment }, 'executing')
  tells(run, lost(0), 'executing')
  tells(run, { type: 'committed', replica: 2, commitment: run.claim(2).commitment }, 'committed')
  const other = runTo(assigned)
  for (const replica of [0, 1]) other.commit(replica)
  tells(other, lost(2), 'committed')
})

test('a second commitment of a replica, one after it was lost and one of no replica are ignored', () => {
  const run = runTo(assigned)
  const once = run.commit(0)
  assert.is(run.tell({ type: 'committed', replica: 0, commitment: run.claim(0, [1, 0]).commitment }), once)
  const gone = run.tell(lost(1))
  assert.is(run.commit(1), gone)
  for (const replica of [-1, 3, 255]) {
    assert.is(run.tell({ type: 'committed', replica, commitment: new Uint8Array() }), gone)
    assert.is(run.tell({ type: 'streaming', replica }), gone)
    assert.is(run.tell(lost(replica)), gone)
  }
})

test('all replicas lost fail the job, before and after the commitments', () => {
  const run = runTo(assigned)
  for (const replica of [0, 1]) run.tell(lost(replica))
  const early = tells(run, lost(2), 'failed')
  assert.is(early.phase === 'failed' && early.reason, 'all_replicas_lost')
  const late = runTo(committed)
  for (const replica of [0, 1]) late.tell(lost(replica))
  tells(late, lost(2), 'failed')
})

test('the first replica that streams stays the one that is heard', () => {
  const run = runTo(assigned)
  run.tell({ type: 'streaming', replica: 2 })
  run.tell({ type: 'streaming', replica: 0 })
  assert.is(run.job.phase === 'executing' && run.job.streamed, 2)
})

test('deadlines act by tick: at the very millisecond, and not one before', () => {
  const run = runTo(assigned)
  run.commit(0)
  const { commitByMs, revealByMs } = assignmentOf(run.assignment)
  assert.is(run.tell({ type: 'tick', nowMs: Number(commitByMs) - 1 }).phase, 'executing')
  const job = tells(run, { type: 'tick', nowMs: Number(commitByMs) }, 'committed')
  assert.equal(job.phase === 'committed' && job.replicas.map(({ state }) => state), ['committed', 'lost', 'lost'])
  assert.is(run.tell({ type: 'tick', nowMs: Number(revealByMs) - 1 }).phase, 'committed')
  tells(run, { type: 'tick', nowMs: Number(revealByMs) }, 'failed')

  const some = runTo(committed)
  some.reveal(1)
  tells(some, { type: 'tick', nowMs: Number(assignmentOf(some.assignment).revealByMs) }, 'revealed')
  const none = runTo(assigned)
  tells(none, { type: 'tick', nowMs: Number(assignmentOf(none.assignment).commitByMs) }, 'failed')
})

test('the last reveal, or the loss of the last that has not revealed, closes the reveals', () => {
  const run = runTo(committed)
  for (const replica of [2, 0]) run.reveal(replica)
  assert.is(run.reveal(0), run.job)
  tells(run, { type: 'revealed', replica: 1, reveal: run.claims.get(1)?.reveal ?? new Uint8Array() }, 'revealed')
  const other = runTo(committed)
  for (const replica of [2, 0]) other.reveal(replica)
  tells(other, lost(1), 'revealed')
})

test('findings of every replica verify the job, with or without audits before; fewer findings are ignored', () => {
  const run = runTo(revealed)
  const findings = run.certifiedFindings()
  assert.is(run.tell({ type: 'found', findings: findings.slice(1) }).phase, 'revealed')
  const job = tells(run, { type: 'found', findings }, 'verified')
  assert.is(job.phase === 'verified' && job.chosen, 0)
  const audited = runTo(revealed)
  tells(audited, { type: 'audited', audits: [] }, 'audited')
  tells(audited, { type: 'found', findings }, 'verified')
})

test('a dispute replaces the findings and chooses anew; what was certified before is owed again', () => {
  const run = runTo(verified)
  run.tell({ type: 'settlement-certified', settlement: { body: new Uint8Array(), certificate: NO_SIGNATURES } })
  const unsound = new JobRun()
  unsound.execute([[11, 0, 12], OUTPUT, OUTPUT])
  const findings = unsound.certifiedFindings()
  assert.is(step(run.job, { type: 'disputed', findings: findings.slice(1) }), run.job)
  const job = tells(run, { type: 'disputed', findings }, 'disputed')
  assert.ok(job.phase === 'disputed' && job.settlement === null && !job.resultsLogged)
  assert.is(job.phase === 'disputed' && job.chosen, null, 'what the client read does not stand any more')
})

test('the hold deadline fails every open phase as expired, and a failed job expires', () => {
  for (const run of everyPhase()) {
    const deadlineMs = Number(run.job.hold.deadlineMs)
    const before = step(run.job, { type: 'tick', nowMs: NOW_MS })
    assert.is(before, run.job, 'an early tick changes nothing')
    const job = step(run.job, { type: 'tick', nowMs: deadlineMs })
    if (run.job.phase === 'settled') assert.is(job, run.job)
    else assert.ok(job.phase === 'failed' && job.expired)
    assert.is(step(job, { type: 'tick', nowMs: deadlineMs + 1 }), job)
  }
})

test('the log has the last word: a logged settlement settles from every phase, once', () => {
  for (const run of everyPhase()) {
    if (run.job.phase === 'settled') continue
    const before = run.job.phase
    const job = step(run.job, settledEvent)
    assert.is(job.phase, 'settled')
    seen.add(`${before}/settlement-logged`)
    assert.is(step(job, { ...settledEvent, outcome: 'paid' }), job)
  }
})

test('a payment that was on its way to the log when the deadline passed settles the job as paid', () => {
  const run = runTo(verified)
  run.tell({ type: 'tick', nowMs: Number(run.job.hold.deadlineMs) })
  assert.is(run.job.phase, 'failed')
  const job = run.tell({ ...settledEvent, outcome: 'paid', certificate: NO_SIGNATURES })
  assert.ok(job.phase === 'settled')
  assert.equal(job.phase === 'settled' && [job.outcome, job.reason, job.chosen], ['paid', REASON_PAID, 0])
})

test('a settled job keeps what its receipt shows', () => {
  const run = runTo(verified)
  const { job } = run
  assert.ok(job.phase === 'verified')
  const after = run.settle()
  assert.ok(after.phase === 'settled' && job.phase === 'verified')
  if (after.phase !== 'settled' || job.phase !== 'verified') return
  assert.equal([after.outcome, after.reason, after.chosen], ['paid', 'paid', 0])
  assert.is(after.replicas, job.replicas)
  assert.is(after.findings, job.findings)
  assert.is(after.delivery, job.delivery)
  assert.is(after.certificate, job.certificate)
})

test('an assignment without its certificate is not kept', () => {
  const job = runTo((run) => run.answerAll()).tell(settledEvent)
  assert.ok(job.phase === 'settled' && job.assignment.length === 0 && job.certificate === null)
})

test('every cell of the table that changes a phase has been seen to do so, and none besides', () => {
  const cells = PHASES.flatMap((phase) =>
    Object.entries(NEXT_PHASE[phase])
      .filter(([, next]) => next !== 'stay')
      .map(([event]) => `${phase}/${event}`),
  )
  assert.equal([...seen].sort(), cells.sort())
})

test('no row of the table names a phase above its own', () => {
  for (const [place, phase] of PHASES.entries())
    for (const next of Object.values(NEXT_PHASE[phase])) assert.ok(next === 'stay' || PHASES.indexOf(next) > place)
})

test.run()
