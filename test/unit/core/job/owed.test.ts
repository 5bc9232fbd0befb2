import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Effect, effectKey, type Job, PHASES } from '../../../../core/job/job.ts'
import { encodeJob, parseJob } from '../../../../core/job/journal.ts'
import { step } from '../../../../core/job/machine.ts'
import { owed } from '../../../../core/job/owed.ts'
import { assigned, committed, everyPhase, runTo, verified } from '../../../support/every-phase.ts'
import { NO_SIGNATURES } from '../../../support/log-swarm.ts'
import { ENDS, settledRun } from '../../../support/settled-job.ts'

const typesOf = (job: Job): readonly Effect['type'][] => owed(job).map(({ type }) => type)

test('each phase owes its own work', () => {
  const due = new Map(everyPhase().map(({ job }) => [job.phase, typesOf(job)]))
  assert.equal([...due.keys()], [...PHASES])
  assert.equal(due.get('admitted'), Array(6).fill('offer'))
  assert.equal(due.get('proposed'), ['vote-assignment'])
  assert.equal(due.get('assigned'), ['log-assignment'])
  assert.equal(due.get('executing'), Array(3).fill('execute'))
  assert.equal(due.get('committed'), Array(3).fill('reveal'))
  assert.equal(due.get('revealed'), ['vote-findings'])
  assert.equal(due.get('audited'), ['vote-findings'])
  assert.equal(due.get('verified'), ['vote-settlement'])
  assert.equal(due.get('disputed'), ['log-results'])
  assert.equal(due.get('failed'), ['vote-settlement'])
  assert.equal(due.get('settled'), [])
})

test('what is done is not owed any more', () => {
  const admitted = runTo()
  const [first] = admitted.job.draw.ranked
  if (first !== undefined) admitted.answer(first)
  assert.not(owed(admitted.job).some((effect) => effect.type === 'offer' && effect.peer === first))
  const executing = runTo(assigned)
  executing.commit(1)
  executing.tell({ type: 'lost', replica: 2, reason: 'gone' })
  assert.equal(owed(executing.job).map(effectKey), ['execute/0'])
  const revealing = runTo(committed)
  revealing.reveal(0)
  assert.equal(owed(revealing.job).map(effectKey), ['reveal/1', 'reveal/2'])
})

test('results are logged before the settlement is voted on, and it is certified before it is logged', () => {
  const { job } = runTo(verified)
  assert.ok(job.phase === 'verified')
  if (job.phase !== 'verified') return
  assert.equal(typesOf({ ...job, resultsLogged: false }), ['log-results'])
  const certified = step(job, {
    type: 'settlement-certified',
    settlement: { body: new Uint8Array(), certificate: NO_SIGNATURES },
  })
  assert.equal(typesOf(certified), ['log-settlement'])
})

test('a failed job asks for votes until its hold has expired, and needs none then', () => {
  const run = runTo((other) => other.tell({ type: 'cancel' }))
  assert.equal(typesOf(run.job), ['vote-settlement'])
  run.tell({ type: 'tick', nowMs: Number(run.job.hold.deadlineMs) })
  assert.equal(typesOf(run.job), ['expire'])
})

test('every effect of a state has its own key', () => {
  for (const { job } of everyPhase()) {
    const keys = owed(job).map(effectKey)
    assert.is(new Set(keys).size, keys.length)
  }
})

test('a restarted node owes what it owed, and steps as if it had not restarted', () => {
  for (const end of ENDS) {
    const { run } = settledRun(end)
    let restarted = parseJob(encodeJob(run.first))
    for (const { event, job } of run.trail) {
      const read = parseJob(encodeJob(job))
      assert.equal(read, job, `${end}: ${job.phase}`)
      assert.equal(owed(read), owed(job))
      restarted = parseJob(encodeJob(step(restarted, event)))
      assert.equal(restarted, job)
    }
  }
})

test.run()
