import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { effectKey, type JobEvent } from '../../../../core/job/job.ts'
import { JobLoop } from '../../../../node/runtime/loop.ts'
import { codeOf } from '../../../support/error-code.ts'
import { assigned, runTo } from '../../../support/every-phase.ts'
import { NOW_MS } from '../../../support/job-run.ts'
import { adopted } from '../../../support/loop-harness.ts'
import { manualClock, settle } from '../../../support/manual-clock.ts'
import { within } from '../../../support/within.ts'

const lost = (replica: number): JobEvent => ({ type: 'lost', replica, reason: 'gone' })

test(
  'a journal that throws is fatal: the state stays the one on disk and nothing new starts',
  within(2_000, async () => {
    const run = runTo(assigned)
    const fatal: unknown[] = []
    const performed: string[] = []
    const broken = new Error('the disk is gone')
    const loop = new JobLoop(
      { jobCountMax: 1, retryMs: 1, retryMsMax: 1, tickMs: 1 },
      {
        clock: manualClock(NOW_MS),
        journal: () => Promise.reject(broken),
        perform: (_job, effect) => {
          performed.push(effectKey(effect))
          return new Promise(() => {})
        },
        changed: () => assert.unreachable('nothing has changed'),
        fatal: (error) => void fatal.push(error),
      },
    )
    loop.adopt(run.job)
    loop.dispatch(run.id, { type: 'tick', nowMs: Number(run.job.hold.deadlineMs) })
    await settle()
    assert.equal(fatal, [broken])
    assert.is(loop.job(run.id), run.job)
    assert.equal(performed, ['execute/0', 'execute/1', 'execute/2'])
  }),
)

test(
  'an effect that throws is fatal',
  within(2_000, async () => {
    const harness = adopted(runTo(assigned))
    const bug = new Error('a bug')
    harness.run('execute/0').fail(bug)
    await settle()
    assert.equal(harness.fatal, [bug])
  }),
)

test(
  'stop aborts what runs and waits, forgets the jobs, writes nothing and starts nothing more',
  within(2_000, async () => {
    const run = runTo(assigned)
    const harness = adopted(run)
    const ended = harness.loop.run()
    harness.run('execute/0').end('retry')
    await settle()
    harness.loop.stop()
    await ended
    assert.ok(harness.run('execute/1').signal.aborted)
    assert.is(harness.loop.openCount, 0)
    assert.is(harness.clock.sleeping.length, 0)
    await harness.dispatch(run, lost(1))
    harness.run('execute/1').end({ events: [lost(1)], journaled: false })
    await harness.clock.advance(10_000)
    assert.is(harness.journaled.length, 0)
    assert.is(harness.started.length, 3)
    assert.is(await codeOf((async () => harness.loop.admit())()), 'CF_CONTROL_SHUTTING_DOWN')
  }),
)

test(
  'a write that is under way when the loop stops is the last',
  within(2_000, async () => {
    const run = runTo(assigned)
    const harness = adopted(run)
    harness.slow = true
    await harness.dispatch(run, lost(0))
    harness.loop.stop()
    await harness.release()
    assert.is(harness.journaled.length, 1)
    assert.is(harness.started.length, 3)
    assert.equal(harness.fatal, [])
  }),
)

test.run()
