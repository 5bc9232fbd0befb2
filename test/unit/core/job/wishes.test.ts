/** What an intent asks for beside length and temperature, as validators and receipts see it. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { sealAs } from '../../../../core/identity/envelope.ts'
import { findingsBodies } from '../../../../core/job/choice.ts'
import { outputOf, receiptOf } from '../../../../core/job/receipting.ts'
import { type Intent, NEUTRAL } from '../../../../core/log/intent.ts'
import { receiptFileCodec } from '../../../../core/receipt/receipt.ts'
import { verifyReceiptFile } from '../../../../core/receipt/verify.ts'
import { METHOD } from '../../../../core/verification/finding.ts'
import { EDGE, JobRun, OUTPUT } from '../../../support/job-run.ts'
import { missing } from '../../../support/missing.ts'

const OTHER = [21, 22, 0]

function settled(intent: Partial<Intent>, outputs: readonly (readonly number[])[], local = false) {
  const run = new JobRun({ intent: { replicas: outputs.length, verify: 'before', ...intent }, genesis: { local } })
  run.execute(outputs, null)
  run.find()
  run.settle()
  const { job } = run
  if (job.phase !== 'settled') return missing('a settled job')
  const { genesis, swarmId } = run.swarm.state
  const file = { receipt: receiptOf(job, genesis.bytes), output: outputOf(job) }
  const verdict = verifyReceiptFile(sealAs(receiptFileCodec, file, swarmId, EDGE), { roots: new Set([swarmId]) })
  return { job, verdict, findings: findingsBodies(job.findings), facts: 'facts' in verdict ? verdict.facts : missing() }
}

const FREE: Partial<Intent> = {
  sampling: { kind: 'llama', temperatureMilli: 700, topK: 40, ...NEUTRAL, topPMilli: 900 },
}

test('a job whose sampler nobody can replay is paid, unverifiable, and its receipt verifies: also in a local swarm', () => {
  for (const local of [false, true]) {
    const { verdict, findings, facts } = settled(FREE, [OUTPUT, OTHER, OUTPUT], local)
    assert.is(verdict.status, 'valid')
    assert.equal(
      findings.map((finding) => `${finding.verdict} ${finding.methods}`),
      ['pass', 'pass', 'pass'].map((pass) => `${pass} ${METHOD.structure}`),
    )
    assert.is(facts.settlement.assurance, 'unverifiable')
    assert.is(facts.settlement.chosen, 0)
  }
})

test('an output that goes on behind a stop string of its intent fails, whatever its tokens are', () => {
  const { verdict, findings } = settled({ stop: ['never said', 'text'] }, [OUTPUT])
  assert.is(verdict.status, 'valid')
  assert.equal(
    findings.map(({ verdict: judged, reason }) => `${judged} ${reason}`),
    ['fail stop_rule'],
  )
  const { findings: sound } = settled({ stop: ['never said'] }, [OUTPUT])
  assert.is(sound[0]?.verdict, 'pass')
})

test('a completion is judged as a chat is', () => {
  const { findings, facts } = settled({ task: 'completion' }, [OUTPUT, OUTPUT, OTHER])
  assert.equal(
    findings.map(({ verdict }) => verdict),
    ['pass', 'pass', 'inconclusive'],
  )
  assert.is(facts.settlement.assurance, 'replicated')
})

test.run()
