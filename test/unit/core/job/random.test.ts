import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { effectKey, type Job, type JobEvent, PHASES } from '../../../../core/job/job.ts'
import { encodeJob, parseJob } from '../../../../core/job/journal.ts'
import { step } from '../../../../core/job/machine.ts'
import { owed } from '../../../../core/job/owed.ts'
import { everyPhase, runTo, verified } from '../../../support/every-phase.ts'
import { NOW_MS } from '../../../support/job-run.ts'
import { NO_SIGNATURES } from '../../../support/log-swarm.ts'
import { keyNamed } from '../../../support/people.ts'
import { testSeed } from '../../../support/seeded-random.ts'

const seed = testSeed()
const ended = runTo(verified)
const { first } = ended
const { ranked } = first.draw
const findings = ended.job.phase === 'verified' ? ended.job.findings : []
const deadlineMs = Number(first.hold.deadlineMs)
const NOTHING = new Uint8Array()

const replica = fc.integer({ min: -1, max: 3 })
const peer = fc.constantFrom(...ranked, keyNamed('v0').peer)
const nowMs = fc.oneof(fc.constant(NOW_MS), fc.integer({ min: NOW_MS, max: deadlineMs + 1_000 }))
const anyFindings = fc.constantFrom(findings, findings.slice(1), [])
/** Weighted, so that a sequence gets somewhere: ticks at random times end most jobs early. */
const anyEvent: fc.Arbitrary<JobEvent> = fc.oneof(
  {
    weight: 16,
    arbitrary: fc.record({
      type: fc.constant('answered' as const),
      peer,
      answer: fc.constantFrom('accept' as const, 'accept' as const, 'busy' as const),
      envelope: fc.constant(Uint8Array.of(1)),
      nowMs: fc.constant(NOW_MS),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('silent' as const), peer, nowMs: fc.constant(NOW_MS) }) },
  { weight: 4, arbitrary: fc.constant({ type: 'assignment-certified' as const, certificate: NO_SIGNATURES }) },
  { weight: 4, arbitrary: fc.constant({ type: 'assignment-logged' as const }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('streaming' as const), replica }) },
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('committed' as const),
      replica,
      commitment: fc.uint8Array({ maxLength: 4 }),
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('lost' as const), replica, reason: fc.constant('gone') }) },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('delivered' as const), delivery: fc.uint8Array({ maxLength: 4 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({ type: fc.constant('revealed' as const), replica, reveal: fc.uint8Array({ maxLength: 4 }) }),
  },
  { weight: 4, arbitrary: fc.constant({ type: 'commit-set-certified' as const, certificate: NO_SIGNATURES }) },
  { weight: 2, arbitrary: fc.constant({ type: 'audited' as const, audits: [] }) },
  { weight: 4, arbitrary: fc.record({ type: fc.constant('found' as const), findings: anyFindings }) },
  { weight: 2, arbitrary: fc.constant({ type: 'results-logged' as const }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('disputed' as const), findings: anyFindings }) },
  {
    weight: 2,
    arbitrary: fc.constant({
      type: 'settlement-certified' as const,
      settlement: { body: NOTHING, certificate: NO_SIGNATURES },
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constant('settlement-logged' as const),
      outcome: fc.constantFrom('paid' as const, 'refunded' as const),
      body: fc.constant(NOTHING),
      certificate: fc.constantFrom(null, NO_SIGNATURES),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ type: 'cancel' as const }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('tick' as const), nowMs }) },
)

const starts = everyPhase().map(({ job }) => job)
const reached = new Map<string, number>()

function checkStep(before: Job, event: JobEvent): Job {
  const after = step(before, event)
  assert.ok(
    after.attempt === before.attempt + 1
      ? after.phase === 'admitted'
      : PHASES.indexOf(after.phase) >= PHASES.indexOf(before.phase),
    `${before.phase} became ${after.phase} by ${event.type}`,
  )
  if (after.phase !== before.phase) reached.set(after.phase, (reached.get(after.phase) ?? 0) + 1)
  const keys = owed(after).map(effectKey)
  assert.is(new Set(keys).size, keys.length)
  assert.is(keys.length === 0, after.phase === 'settled', 'a job owes something until it has settled, and nothing then')
  assert.is(after.hold, before.hold)
  return after
}

test('random events: phases only go down, step never throws, something is owed until the end', () => {
  fc.assert(
    fc.property(
      fc.constantFrom(...starts),
      fc.array(anyEvent, { minLength: 10, maxLength: 60, size: 'max' }),
      (start, events) => {
        events.reduce(checkStep, start)
      },
    ),
    { seed, numRuns: 3_000 },
  )
  console.log(`reached: ${[...reached].map(([phase, count]) => `${phase} ${count}`).join(', ')}`)
  for (const phase of PHASES.slice(1)) assert.ok((reached.get(phase) ?? 0) > 0, `${phase} is reached at all`)
})

test('an honest history shuffled, with every event twice, ends the same or waits, and is never an error', () => {
  const events = ended.trail.map(({ event }) => event)
  fc.assert(
    fc.property(fc.shuffledSubarray([...events, ...events], { minLength: events.length }), (mixed) => {
      mixed.reduce(checkStep, first)
      const redelivered = events.flatMap((event) => [event, event, ...mixed.slice(0, 2)])
      assert.is(redelivered.reduce(checkStep, first).phase, 'verified')
    }),
    { seed, numRuns: 100 },
  )
})

test('a journal round trip between any two events changes nothing', () => {
  fc.assert(
    fc.property(fc.array(anyEvent, { maxLength: 60, size: 'max' }), (events) => {
      let restarted = first
      for (const event of events) restarted = parseJob(encodeJob(step(restarted, event)))
      assert.equal(restarted, events.reduce(step, first))
    }),
    { seed, numRuns: 50 },
  )
})

test.run()
