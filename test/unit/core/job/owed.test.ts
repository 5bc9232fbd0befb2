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
  assert.equal(due.get('committed'), ['vote-commit-set'])
  assert.equal(due.get('revealed'), ['audit'])
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

test('nobody is asked to reveal before a quorum has signed what was committed to, where anybody witnesses', () => {
  const run = runTo(committed)
  assert.equal(typesOf(run.job), ['vote-commit-set'])
  const before = run.job
  assert.is(run.tell({ type: 'revealed', replica: 0, reveal: Uint8Array.of(1) }), before)
  run.witness()
  assert.equal(typesOf(run.job), Array(3).fill('reveal'))
  const certificate = { bitmap: 1, signatures: new Uint8Array(64) }
  const witnessed = run.job
  assert.is(run.tell({ type: 'commit-set-certified', certificate }), witnessed)
  const alone = runTo(committed, { genesis: { local: true } })
  assert.equal(typesOf(alone.job), Array(3).fill('reveal'))
  for (const replica of [0, 1, 2]) alone.reveal(replica)
  assert.equal(typesOf(alone.job), ['vote-findings'])
})

test('a replica that does not reveal stays in the set that was witnessed', () => {
  const run = runTo(committed)
  run.witness()
  for (const replica of [0, 1]) run.reveal(replica)
  run.tell({ type: 'lost', replica: 2, reason: 'gone' })
  assert.ok(run.job.phase === 'revealed')
  if (run.job.phase !== 'revealed') return
  assert.equal(run.job.commitSet?.commitments.filter(({ length }) => length > 0).length, 3)
  run.tell({ type: 'audited', audits: [{ first: 0, reports: [Uint8Array.of(7)] }] })
  assert.equal(typesOf(run.job), ['vote-findings'])
  assert.equal(run.tell({ type: 'cancel' }).phase, 'audited')
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
