/** What `job explain` makes of a draw that is not the one in the log. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Job } from '../../../../core/job/job.ts'
import { assignmentOf } from '../../../../core/job/machine.ts'
import { assignmentCodec } from '../../../../core/log/assignment.ts'
import { genesisRoster } from '../../../../core/log/genesis.ts'
import { rosterSnapshot } from '../../../../core/roster/roster.ts'
import { explanationOf } from '../../../../node/jobs/explain.ts'
import { JobRun, OUTPUT } from '../../../support/job-run.ts'

type Assigned = Extract<Job, { phase: 'settled' }>

function settledRun() {
  const run = new JobRun({ intent: { replicas: 2 } })
  run.execute([OUTPUT, OUTPUT])
  run.find()
  run.settle()
  const { job, swarm } = run
  assert.is(job.phase, 'settled')
  return { job: job as Assigned, state: swarm.state, roster: genesisRoster(swarm.state.genesis) }
}

test('an honest job is explained and matches', () => {
  const { job, state, roster } = settledRun()
  const explanation = explanationOf(job, state, roster)
  assert.is(explanation?.matches, true)
  assert.equal(
    explanation?.ranked.filter(({ chosen }) => chosen !== null).map(({ peer }) => peer),
    assignmentOf(job.assignment).workers,
  )
})

test('workers that the draw does not give are told apart', () => {
  const { job, state, roster } = settledRun()
  const assignment = assignmentOf(job.assignment)
  const swapped = assignmentCodec.encode({ ...assignment, workers: assignment.workers.toReversed() })
  assert.is(explanationOf({ ...job, assignment: swapped }, state, roster)?.matches, false)
  const [first, ...rest] = job.draw.ranked
  assert.ok(first)
  const ranked = [...rest, first]
  assert.is(explanationOf({ ...job, draw: { ...job.draw, ranked } }, state, roster)?.matches, false)
})

test('another roster explains nothing', () => {
  const { job, state, roster } = settledRun()
  const other = rosterSnapshot(roster.epoch, roster.members.slice(1))
  assert.is(explanationOf(job, state, other), undefined)
})

test.run()
