/** Jobs and epochs: a job stays with the epoch that it was held in, from its draw to its receipt. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { sealAs } from '../../../../core/identity/envelope.ts'
import { judgeAssignment } from '../../../../core/job/judge.ts'
import { outputOf, receiptOf } from '../../../../core/job/receipting.ts'
import { assignmentCodec } from '../../../../core/log/assignment.ts'
import { epochOfJob } from '../../../../core/log/epochs.ts'
import { genesisRoster } from '../../../../core/log/genesis.ts'
import { epochPartOf } from '../../../../core/receipt/epoch.ts'
import { receiptFileCodec } from '../../../../core/receipt/receipt.ts'
import { verifyReceiptFile } from '../../../../core/receipt/verify.ts'
import { EDGE, expectAccepted, JOINED, JobRun, OUTPUT } from '../../../support/job-run.ts'
import { applied } from '../../../support/log-swarm.ts'
import { digestNamed } from '../../../support/people.ts'

function nextEpoch(run: JobRun): void {
  const { swarm } = run
  const epoch = swarm.state.epoch + 1n
  applied(swarm.apply('roster', swarm.roster(digestNamed(`roster ${epoch}`))))
  applied(swarm.apply('beacon', swarm.beacon(digestNamed(`beacon ${epoch}`))))
}

for (const joined of [undefined, JOINED]) {
  const first = joined === undefined ? 0n : 1n
  test(`a job held in epoch ${first} goes on through two others to a receipt that verifies`, () => {
    const run = new JobRun({ intent: { replicas: 1 }, ...(joined === undefined ? {} : { joined }) })
    nextEpoch(run)
    run.execute([OUTPUT], 0)
    assert.is(expectAccepted(assignmentCodec.decode(run.assignment)).epoch, first)
    nextEpoch(run)
    run.find()
    run.settle()
    const { job, swarm } = run
    assert.is(job.phase, 'settled')
    if (job.phase !== 'settled') return
    assert.is(swarm.state.epoch, first + 2n)
    const logged = swarm.job(run.id)
    const part = epochPartOf(epochOfJob(swarm.state, logged), run.roster, [EDGE.peer, ...logged.workers])
    const file = { receipt: receiptOf(job, swarm.genesis.bytes, part), output: outputOf(job) }
    const bytes = sealAs(receiptFileCodec, file, swarm.state.swarmId, EDGE)
    const trust = { roots: new Set([swarm.state.swarmId]), rosters: new Map([[run.roster.root, run.roster]]) }
    const verdict = verifyReceiptFile(bytes, trust)
    assert.is(verdict.status, 'valid', verdict.status === 'invalid' ? `${verdict.where} ${verdict.reason}` : '')
    assert.is(verdict.status === 'valid' && verdict.facts.assignment?.drawn, true)
  })
}

test('a draw from another roster or beacon than those of the job is not voted for', () => {
  const run = new JobRun({ intent: { replicas: 1 }, joined: JOINED })
  run.answerAll()
  const { assignmentProposal: proposal } = run
  assert.is(judgeAssignment(run.bench(), proposal).action, 'accept')
  const older = { ...run.bench(), roster: genesisRoster(run.swarm.genesis) }
  assert.equal(judgeAssignment(older, proposal).action, 'reject')
  const claimed = expectAccepted(assignmentCodec.decode(proposal.assignment))
  const { genesis } = run.swarm
  for (const lie of [{ epoch: 0n }, { beacon: genesis.beacon }, { rosterRoot: genesisRoster(genesis).root }]) {
    const assignment = assignmentCodec.encode({ ...claimed, ...lie })
    const judged = judgeAssignment(run.bench(), { ...proposal, assignment })
    assert.is(judged.action === 'reject' && judged.where, 'draw')
  }
})

test.run()
