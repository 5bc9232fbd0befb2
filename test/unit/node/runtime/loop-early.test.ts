import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { JobEvent } from '../../../../core/job/job.ts'
import { certify, runTo } from '../../../support/every-phase.ts'
import { adopted } from '../../../support/loop-harness.ts'
import { settle } from '../../../support/manual-clock.ts'
import { within } from '../../../support/within.ts'

const CERTIFIED: JobEvent = {
  type: 'assignment-certified',
  certificate: { bitmap: 7, signatures: new Uint8Array() },
}

/** Every answer but the last one that the draw waits for, and that one. */
function answers(): { readonly run: ReturnType<typeof runTo>; readonly events: readonly JobEvent[] } {
  const run = runTo()
  const events = run.job.draw.ranked.map(
    (peer): JobEvent => ({ type: 'answered', peer, answer: 'accept', envelope: new Uint8Array(1), nowMs: 1 }),
  )
  return { run, events: events.slice(0, run.job.intent.replicas) }
}

test(
  'the vote on an assignment begins while its row is being written, and what it brings waits for the row',
  within(2_000, async () => {
    const { run, events } = answers()
    const harness = adopted(run)
    harness.slow = true
    await harness.dispatch(run, ...events)
    assert.is(harness.count('journal proposed'), 1)
    assert.is(harness.count('journaled proposed'), 0)
    assert.is(harness.count('perform vote-assignment'), 1)
    assert.ok(harness.log.indexOf('journal proposed') < harness.log.indexOf('perform vote-assignment'), 'first in line')
    harness.run('vote-assignment').end({ events: [CERTIFIED], journaled: false })
    await settle()
    assert.is(harness.count('changed admitted proposed'), 0, 'nobody hears of it before it is on disk')
    assert.is(harness.count('perform log-assignment'), 0)
    await harness.release()
    assert.is(harness.count('changed admitted proposed'), 1)
    assert.is(harness.count('perform log-assignment'), 1)
    assert.is(harness.count('perform vote-assignment'), 1, 'not a second time')
  }),
)

test(
  'a certified assignment is logged without a row of its own: votes on disk give it again',
  within(2_000, async () => {
    const run = runTo((begun) => begun.answerAll())
    const harness = adopted(run)
    const job = await harness.dispatch(run, certify(run))
    assert.is(job?.phase, 'assigned')
    assert.is(harness.journaled.length, 0)
    assert.is(harness.count('perform log-assignment'), 1)
    await harness.dispatch(run, { type: 'assignment-logged' })
    assert.equal(
      harness.journaled.map(({ phase }) => phase),
      ['executing'],
    )
  }),
)

test.run()
