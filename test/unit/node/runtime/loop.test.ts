import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../../core/errors.ts'
import { effectKey, type JobEvent } from '../../../../core/job/job.ts'
import type { Performed } from '../../../../node/runtime/loop.ts'
import { codeOf } from '../../../support/error-code.ts'
import { assigned, committed, everyPhase, runTo, verified } from '../../../support/every-phase.ts'
import type { JobRun } from '../../../support/job-run.ts'
import { NOW_MS } from '../../../support/job-run.ts'
import { adopted, LoopHarness } from '../../../support/loop-harness.ts'
import { settle } from '../../../support/manual-clock.ts'
import { within } from '../../../support/within.ts'

const lost = (replica: number): JobEvent => ({ type: 'lost', replica, reason: 'gone' })

test(
  'what is owed starts when a job is taken over, whatever phase the journal has it in',
  within(5_000, async () => {
    for (const run of everyPhase()) {
      const { started, loop, journaled } = adopted(run)
      assert.is(started.length > 0, run.job.phase !== 'settled', run.job.phase)
      assert.is(loop.openCount, run.job.phase === 'settled' ? 0 : 1)
      loop.adopt(run.job)
      assert.is(new Set(started.map(({ effect }) => effectKey(effect))).size, started.length, 'once each')
      assert.is(journaled.length, 0)
    }
  }),
)

test(
  'drain refuses to run twice at once: two events while the journal is slow are not stepped from one old state',
  within(2_000, async () => {
    const run = runTo(assigned)
    const harness = adopted(run)
    harness.slow = true
    await harness.dispatch(run, { type: 'committed', replica: 0, commitment: run.claim(0).commitment })
    assert.is(harness.writesWaiting, 1)
    await harness.dispatch(run, lost(1))
    await harness.dispatch(run, { type: 'committed', replica: 2, commitment: run.claim(2).commitment })
    assert.is(harness.writesWaiting, 1, 'one write at a time')
    const before = harness.loop.job(run.id)
    assert.equal(before, run.job, 'nothing is true before it is on disk')
    await harness.release()
    assert.is(harness.writesWaiting, 1)
    await harness.release()
    const job = harness.loop.job(run.id)
    assert.ok(job?.phase === 'committed')
    assert.equal(job?.phase === 'committed' && job.replicas.map(({ state }) => state), [
      'committed',
      'lost',
      'committed',
    ])
    assert.equal(harness.journaled.at(-1), job, 'the last row is the whole truth')
  }),
)

test(
  'nothing is performed before the journal has the state that owes it',
  within(2_000, async () => {
    const run = runTo(committed)
    run.witness()
    const harness = adopted(run)
    harness.slow = true
    await harness.dispatch(
      run,
      ...[0, 1, 2].map(
        (replica): JobEvent => ({
          type: 'revealed',
          replica,
          reveal: run.claims.get(replica)?.reveal ?? new Uint8Array(),
        }),
      ),
    )
    await harness.release()
    assert.is(harness.count('journal revealed'), 1)
    assert.is(harness.count('perform audit'), 0)
    await harness.release()
    assert.is(harness.count('perform audit'), 1)
    const order = ['journaled revealed', 'changed committed revealed', 'perform audit'].map((line) =>
      harness.log.indexOf(line),
    )
    assert.equal(
      order,
      [...order].sort((a, b) => a - b),
    )
    assert.ok(order.every((place) => place >= 0))
  }),
)

test(
  'events that came together are written once, and one that changes nothing is not written',
  within(2_000, async () => {
    const run = runTo(assigned)
    const harness = adopted(run)
    harness.slow = true
    await harness.dispatch(run, lost(0))
    await harness.dispatch(run, lost(1), lost(1), { type: 'results-logged' })
    await harness.release()
    await harness.release()
    assert.is(harness.journaled.length, 2)
    await harness.dispatch(run, lost(1), { type: 'tick', nowMs: NOW_MS })
    assert.is(harness.journaled.length, 2)
    assert.is(harness.writesWaiting, 0)
  }),
)

test(
  'an event that a crash may forget is not written alone, but is in the next row; one whose row is on disk is not written again',
  within(2_000, async () => {
    const run = runTo(assigned)
    const harness = adopted(run)
    const job = await harness.dispatch(run, { type: 'streaming', replica: 1 })
    assert.ok(job?.phase === 'executing' && job.streamed === 1)
    assert.is(harness.journaled.length, 0)
    await harness.dispatch(run, lost(0))
    const [row] = harness.journaled
    assert.ok(row?.phase === 'executing' && row.streamed === 1)
    harness.loop.dispatch(run.id, lost(2), true)
    await settle()
    assert.is(harness.journaled.length, 1)
    assert.is(harness.count('changed executing executing'), 3)
  }),
)

test(
  'jobs do not wait for each other',
  within(2_000, async () => {
    const [one, two] = [runTo(assigned), otherJob()]
    const harness = adopted(one)
    harness.loop.adopt(two.job)
    harness.slow = true
    await harness.dispatch(one, lost(0))
    await harness.dispatch(two, { type: 'cancel' })
    assert.is(harness.writesWaiting, 2)
    await harness.release()
    assert.is(harness.loop.job(two.id)?.phase, 'failed')
  }),
)

test(
  'an effect that did not succeed is tried again, later each time up to the bound, with the newest state',
  within(2_000, async () => {
    const run = runTo(assigned)
    const harness = adopted(run)
    await harness.dispatch(run, { type: 'streaming', replica: 0 })
    const waits: number[] = []
    for (let times = 0; times < 5; times += 1) {
      harness.run('execute/1').end('retry')
      await settle()
      const [wait = 0] = harness.clock.sleeping
      waits.push(wait)
      await harness.clock.advance(wait - 1)
      assert.is(harness.count('perform execute/1'), times + 1, 'not before its time')
      await harness.clock.advance(1)
      assert.is(harness.count('perform execute/1'), times + 2)
    }
    assert.equal(waits, [100, 200, 400, 400, 400])
    const { job } = harness.run('execute/1')
    assert.ok(job.phase === 'executing' && job.streamed === 0)
    assert.is(harness.count('perform execute/0'), 1, 'the others are not started again')
  }),
)

test(
  'the events of an effect reach its job, and what is newly owed starts',
  within(2_000, async () => {
    const run = runTo(assigned)
    const harness = adopted(run)
    for (const replica of [0, 1, 2]) {
      const event: JobEvent = { type: 'committed', replica, commitment: run.claim(replica).commitment }
      harness.run(`execute/${replica}`).end({ events: [event], journaled: false })
    }
    await settle()
    assert.is(harness.loop.job(run.id)?.phase, 'committed')
    assert.equal(
      harness.log.filter((line) => line.startsWith('perform vote')),
      ['perform vote-commit-set'],
    )
  }),
)

test(
  'a row that an effect wrote is written again when the job has changed meanwhile, and else not',
  within(2_000, async () => {
    const settled: JobEvent = {
      type: 'settlement-logged',
      outcome: 'refunded',
      body: new Uint8Array(),
      certificate: null,
    }
    const calm = adopted(runTo(verified))
    calm.run('vote-settlement').end({ events: [settled], journaled: true })
    await settle()
    assert.is(calm.loop.openCount, 0)
    assert.is(calm.journaled.length, 0)

    const run = runTo(verified)
    for (const slow of [false, true]) {
      const harness = adopted(run)
      harness.slow = slow
      await harness.dispatch(run, { type: 'tick', nowMs: Number(run.job.hold.deadlineMs) })
      harness.run('vote-settlement').end({ events: [settled], journaled: true })
      await settle()
      await harness.release()
      await harness.release()
      assert.equal(
        harness.journaled.map(({ phase }) => phase),
        ['failed', 'settled'],
      )
    }
  }),
)

test(
  'an effect whose events wait behind a slow write is not started a second time',
  within(2_000, async () => {
    const run = runTo(assigned)
    const harness = adopted(run)
    harness.slow = true
    const committing = (replica: number): Performed => {
      return { events: [{ type: 'committed', replica, commitment: run.claim(replica).commitment }], journaled: false }
    }
    harness.run('execute/0').end(committing(0))
    await settle()
    harness.run('execute/1').end(committing(1))
    await settle()
    await harness.release()
    await harness.release()
    assert.is(harness.journaled.length, 2)
    assert.is(harness.count('perform execute/1'), 1, 'its client would hear the tokens twice')
    assert.is(harness.count('perform execute/0'), 1)
  }),
)

test(
  'an effect that is owed again before its aborted run has ended starts when that run ends',
  within(2_000, async () => {
    const run = runTo(verified)
    const harness = adopted(run)
    const findings = run.job.phase === 'verified' ? run.job.findings : []
    await harness.dispatch(run, { type: 'disputed', findings })
    assert.ok(harness.run('vote-settlement').signal.aborted)
    harness.run('log-results').end({ events: [{ type: 'results-logged' }], journaled: false })
    await settle()
    assert.is(harness.count('perform vote-settlement'), 1, 'the old run has not ended')
    harness.run('vote-settlement').end('retry')
    await settle()
    assert.is(harness.count('perform vote-settlement'), 2)
  }),
)

test(
  'an effect that is not owed any more is aborted, also while it waits to be tried again',
  within(2_000, async () => {
    const run = runTo(assigned)
    const harness = adopted(run)
    harness.run('execute/2').end('retry')
    await settle()
    assert.is(harness.clock.sleeping.length, 1)
    await harness.dispatch(run, { type: 'tick', nowMs: Number(run.job.hold.deadlineMs) })
    assert.is(harness.loop.job(run.id)?.phase, 'failed')
    for (const replica of [0, 1]) {
      const { signal } = harness.run(`execute/${replica}`)
      assert.ok(signal.aborted)
      assert.is(signal.reason instanceof FabricError && signal.reason.code, 'CF_JOB_EXPIRED')
    }
    assert.is(harness.clock.sleeping.length, 0)
    await harness.clock.advance(10_000)
    assert.is(harness.count('perform execute/2'), 1)
    assert.is(harness.count('perform expire'), 1)
    harness.run('execute/0').end({ events: [lost(0)], journaled: false })
    await settle()
    assert.is(harness.loop.job(run.id)?.phase, 'failed', 'what a late run says changes nothing')
  }),
)

test(
  'a settled job leaves the loop and takes what still ran with it',
  within(2_000, async () => {
    const run = runTo(assigned)
    const harness = adopted(run)
    const event: JobEvent = {
      type: 'settlement-logged',
      outcome: 'refunded',
      body: new Uint8Array(),
      certificate: null,
    }
    await harness.dispatch(run, event)
    assert.is(harness.loop.openCount, 0)
    assert.ok(harness.started.every(({ signal }) => signal.aborted))
    assert.is(harness.journaled.at(-1)?.phase, 'settled')
    await harness.dispatch(run, event)
    assert.is(harness.journaled.length, 1)
  }),
)

test(
  'open jobs hear the time until the loop stops',
  within(2_000, async () => {
    const run = runTo(assigned)
    const harness = adopted(run)
    const ended = harness.loop.run()
    await harness.clock.advance(Number(run.job.hold.deadlineMs) - NOW_MS + 1_000)
    assert.is(harness.loop.job(run.id)?.phase, 'failed')
    harness.loop.stop()
    await ended
  }),
)

test(
  'as many jobs as the loop may hold are admitted, and one more is refused',
  within(2_000, async () => {
    const harness = new LoopHarness(2)
    harness.loop.admit()
    harness.loop.adopt(runTo(assigned).job)
    harness.loop.admit()
    harness.loop.adopt(otherJob().job)
    assert.is(await codeOf((async () => harness.loop.admit())()), 'CF_JOB_QUEUE_FULL')
    assert.equal(harness.loop.ids().length, 2)
  }),
)

function otherJob(): JobRun {
  return runTo((run) => void run, { intent: { nonce: 2n } })
}

test.run()
