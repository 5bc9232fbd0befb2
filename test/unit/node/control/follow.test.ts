/** A listener always ends in exactly one outcome. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type JobId, parseJobId } from '../../../../core/ids.ts'
import { follow } from '../../../../node/control/follow.ts'
import type { JobHandle, JobProgress } from '../../../../node/runtime/app.ts'
import { systemClock } from '../../../../node/runtime/system.ts'
import { within } from '../../../support/within.ts'

const finish: JobProgress = { type: 'finish', finish: 'stop', completionTokens: 1 }
const tokens: JobProgress = { type: 'tokens', ids: [1], text: 'x' }

const ID = jobId()

function jobId(): JobId {
  const id = parseJobId('a'.repeat(64))
  if (id === undefined) throw new Error('a job id has 64 digits')
  return id
}

function handleOf(progress: (signal: AbortSignal) => AsyncIterable<JobProgress>): JobHandle {
  return { id: ID, promptTokens: 1, repeated: false, verifiable: true, progress }
}

async function namesOf(events: AsyncIterable<JobProgress>): Promise<readonly string[]> {
  const names: string[] = []
  for await (const event of events) names.push(event.type === 'outcome' ? event.outcome : event.type)
  return names
}

test(
  'a feed that ends without an outcome, or stays silent after the finish, is pending',
  within(3_000, async (signal) => {
    const ended = handleOf(async function* () {
      yield tokens
    })
    assert.equal(await namesOf(follow(ended, 1_000, systemClock, signal)), ['tokens', 'pending'])
    const silent = handleOf(async function* (stop) {
      yield tokens
      yield finish
      await systemClock.sleep(60_000, stop)
    })
    assert.equal(await namesOf(follow(silent, 20, systemClock, signal)), ['tokens', 'finish', 'pending'])
  }),
)

test(
  'the wait starts at the finish, not at the first token',
  within(3_000, async (signal) => {
    const slow = handleOf(async function* () {
      yield tokens
      await systemClock.sleep(60)
      yield finish
      yield { type: 'outcome', outcome: 'verified', assurance: '', reason: '', receiptId: ID, cost: 1n, refund: 0n }
      yield tokens
    })
    assert.equal(await namesOf(follow(slow, 20, systemClock, signal)), ['tokens', 'finish', 'verified'])
  }),
)

test(
  'a listener that leaves takes its waiting with it, and an aborted one throws the reason',
  within(3_000, async (signal) => {
    let left = false
    const waiting = handleOf(async function* (stop) {
      stop.addEventListener('abort', () => {
        left = true
      })
      yield tokens
      await systemClock.sleep(60_000, stop)
    })
    for await (const event of follow(waiting, 1_000, systemClock, signal)) if (event.type === 'tokens') break
    assert.ok(left)
    const gone = new AbortController()
    const reading = namesOf(follow(waiting, 1_000, systemClock, gone.signal))
    gone.abort(new Error('gone'))
    assert.is(await reading.catch((error: unknown) => String(error)), 'Error: gone')
  }),
)

test.run()
