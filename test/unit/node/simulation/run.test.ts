import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { parseAmount } from '../../../../core/ledger/amount.ts'
import { simulationJson } from '../../../../node/control/simulate.ts'
import { plotOf } from '../../../../node/simulation/plot.ts'
import { runSimulation } from '../../../../node/simulation/run.ts'
import { rulesBroken, simulated, simulationRequest } from '../../../support/simulation.ts'

const MIXED = {
  ...{ peers: 30, jobs: 40, validators: 7, byzantineValidators: 2, loss: 0.02, arrivalsPerSecond: 10, seed: 5 },
  faults: { crash: 0.1, liar: 0.1, silent: 0.05, busy: 0.1, slow: 0.1 },
} as const

test('the same request and seed give the same report and picture, byte for byte', () => {
  const [one, other] = [simulated({ ...MIXED, detail: 'jobs' }), simulated({ ...MIXED, detail: 'jobs' })]
  assert.is(JSON.stringify(one), JSON.stringify(other))
  assert.is(plotOf(one), plotOf(other))
  assert.is.not(JSON.stringify(simulated({ ...MIXED, detail: 'jobs', seed: 1 })), JSON.stringify(one))
})

test('with every kind of fault at once the books sum to zero, every job is settled and no rule is broken', () => {
  const report = simulated(MIXED)
  assert.equal(rulesBroken(report), [])
  assert.is(report.balances.sum, '0')
  assert.ok(report.balances.zeroSum)
  assert.is(report.jobs.settled, report.jobs.admitted)
  assert.is(report.jobs.admitted + report.jobs.refused, 40)
  assert.is(report.balances.users.held, '0')
  assert.ok(report.jobs.paid > 0 && report.jobs.refunded > 0, 'both ends occur')
  assert.ok(report.counts.lost > 0 && report.counts.byzantineVotes > 0 && report.counts.evidence > 0, 'faults occur')
})

test('who gains and who loses adds up: what users lost is what workers and validators have', () => {
  const { balances, request } = simulated(MIXED)
  const sum = (texts: readonly string[]) => texts.reduce((total, text) => total + (parseAmount(text) ?? 0n), 0n)
  const earned = sum([...balances.workers.map(({ total }) => total), balances.validators.total])
  assert.is(sum([balances.users.total]) + earned, -(parseAmount(balances.mint) ?? 0n))
  assert.is(-(parseAmount(balances.mint) ?? 0n), 2n * (parseAmount(request.userBudget) ?? 0n))
})

test('an honest swarm pays every job, and every answer passes', () => {
  const report = simulated()
  assert.equal(report.jobs.paid, 12)
  assert.equal(report.outputs.chosen, { honest: 12 })
  assert.equal(report.outputs.verdicts, { honest: { pass: 36 } })
  assert.equal(report.counts.certificates, { assignment: 12, finding: 36, settlement: 12, 'commit-set': 12 })
})

test('with one replica a lie is what the user gets, and the report says how often', () => {
  const report = simulated({ replicas: 1, faults: { liar: 0.5 }, jobs: 30 })
  assert.ok((report.outputs.chosen['liar'] ?? 0) > 0)
  assert.equal(rulesBroken(report), [])
  assert.equal(report.outputs.liarsChosenByAssurance, { unaudited: report.outputs.chosen['liar'] })
})

test('with three replicas verified before delivery, one liar among twelve is never believed', () => {
  const report = simulated({ verify: 'before', faults: { liar: 0.08 }, jobs: 40 })
  assert.equal(report.outputs.chosen, { honest: 40 })
  assert.ok((report.outputs.verdicts['liar']?.['inconclusive'] ?? 0) > 0)
  assert.is(report.outputs.verdicts['liar']?.['pass'], undefined)
})

test('what a client has read of a liar is paid for and never called verified', () => {
  const report = simulated({ verify: 'after', faults: { liar: 0.3 }, jobs: 40 })
  assert.ok((report.outputs.chosen['liar'] ?? 0) > 0)
  assert.equal(Object.keys(report.outputs.liarsChosenByAssurance), ['unaudited'])
  assert.equal(rulesBroken(report), [])
})

test('a worker that crashes is lost, and its job still ends', () => {
  const report = simulated({ faults: { crash: 0.3 }, jobs: 20 })
  assert.ok((report.outputs.lostByReason['stream_broken'] ?? 0) > 0)
  assert.is(report.jobs.settled, 20)
  assert.is(report.outputs.verdicts['crash']?.['pass'], undefined)
})

test('when too few validators are honest for a quorum, holds come back at their deadlines', () => {
  const report = simulated({ byzantineValidators: 4, jobs: 10 })
  assert.ok((report.jobs.refundsByReason['deadline'] ?? 0) > 0, 'now and then all of them happen to sign the truth')
  assert.is(report.jobs.settled, 10)
  assert.equal(rulesBroken(report), [])
})

test('a user whose budget is spent is refused by the log', () => {
  const report = simulated({ userBudget: 30_000n, jobs: 20 })
  assert.ok((report.jobs.refusalsByReason['insufficient_credit'] ?? 0) > 0)
  assert.is(report.jobs.settled + report.jobs.refused, 20)
  assert.equal(rulesBroken(report), [])
})

test('listed jobs say who answered, who worked, what was certified and what it cost; the rest is counted', () => {
  const { list } = simulated({ detail: 'jobs', limit: 5 })
  assert.is(list?.items.length, 5)
  assert.is(list?.leftOut, 7)
  const [job] = list?.items ?? []
  assert.is(job?.outcome, 'paid')
  assert.is(job?.workers.length, 3)
  assert.equal(job?.certificates.map(({ kind }) => kind).sort(), [
    'assignment',
    'finding',
    'finding',
    'finding',
    'settlement',
  ])
  assert.ok(job?.certificates.every(({ voters, digest }) => voters.length === 3 && digest.length === 64))
  assert.ok(Number(job?.cost) > 0)
  assert.is(simulated().list, undefined)
})

test('a simulation stops between two events when it is asked to', () => {
  let asked = 0
  const stopped = runSimulation(simulationRequest({ jobs: 50 }), 1, {
    shouldStop: () => {
      asked += 1
      return asked === 3
    },
  })
  assert.is(stopped, undefined)
  assert.is(asked, 3)
})

test('the JSON of a report has the names of the API and no number that JSON cannot hold', () => {
  const json = JSON.parse(JSON.stringify(simulationJson(simulated({ detail: 'jobs', limit: 1 }))))
  assert.is(json.balances.zero_sum, true)
  assert.is(json.jobs.refunds_by_reason.deadline, undefined)
  assert.is(json.list.left_out, 11)
  assert.type(json.list.items[0].settled_ms, 'number')
})

test.run()
