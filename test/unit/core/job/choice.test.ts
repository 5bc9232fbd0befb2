import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type Closeness, chooseOutput, type RevealedOutput } from '../../../../core/job/choice.ts'
import { type Finding, METHOD, type Verdict } from '../../../../core/verification/finding.ts'
import { digestNamed, jobNamed, keyNamed } from '../../../support/people.ts'

const BEFORE = { verify: 'before', task: 'chat', maxTokens: 16 } as const

const finding = (replica: number, verdict: Verdict): Finding => ({
  ...{ jobId: jobNamed('job'), attempt: 0, replica, worker: keyNamed(`w${replica}`).peer, verdict },
  ...{ commitmentHash: digestNamed('commitment'), tokensRoot: digestNamed(`output ${replica}`), tokenCount: 3 },
  ...{ methods: METHOD.structure, reason: 'none', agree: 1, policyId: digestNamed('policy') },
  ...{ auditsHash: digestNamed('no reports'), evidenceMicro: 0, auditors: [], outvoted: [] },
  tokensPerSecondMilli: 0,
})
const findings = (...verdicts: readonly Verdict[]) => verdicts.map((verdict, replica) => finding(replica, verdict))
const output = (text: string, ...ids: readonly number[]): RevealedOutput => ({ text, ids: Uint32Array.from(ids) })
const near = (...cosines: readonly number[]): Closeness => ({ cosines, weights: [8, 8, 8] })

const THREE = [output('a', 1, 2, 3), output('b', 7, 8, 9), output('c', 1, 2, 4)]

test('answers that nobody compared are chosen by their tokens: the one nearest to the others', () => {
  assert.is(chooseOutput(BEFORE, null, findings('inconclusive', 'inconclusive', 'inconclusive'), THREE), 0)
  assert.is(chooseOutput(BEFORE, null, findings('fail', 'inconclusive', 'inconclusive'), THREE), 1)
  assert.is(chooseOutput(BEFORE, null, findings('fail', 'fail', 'fail'), THREE), null)
})

test('an encoder that was asked outweighs the tokens', () => {
  const open = findings('inconclusive', 'inconclusive', 'inconclusive')
  assert.is(chooseOutput(BEFORE, null, open, THREE, near(100, 100, 900)), 1)
  assert.is(chooseOutput(BEFORE, null, open, THREE, near()), 0)
  assert.is(chooseOutput(BEFORE, null, open, THREE, { cosines: [100, 100, 900], weights: [8] }), 0)
})

test('where the encoder finds no two alike the tokens decide', () => {
  const open = findings('inconclusive', 'inconclusive', 'inconclusive')
  const odd = [output('a', 7, 8, 9), output('b', 1, 2, 3), output('c', 1, 2, 4)]
  assert.is(chooseOutput(BEFORE, null, open, odd, near(100, 200, 300)), 1)
})

test('what an audit doubts is not chosen, however near the others it is', () => {
  assert.is(chooseOutput(BEFORE, null, findings('suspect', 'pass', 'pass'), THREE, near(990, 990, 100)), 1)
})

test('where some passed, the others only had the bad luck to be alone: they are not chosen', () => {
  assert.is(chooseOutput(BEFORE, null, findings('inconclusive', 'pass', 'inconclusive'), THREE, near(0, 900, 0)), 1)
})

test('what the client has read is the answer, or nothing is', () => {
  const after = { ...BEFORE, verify: 'after' } as const
  assert.is(chooseOutput(after, 2, findings('pass', 'pass', 'inconclusive'), THREE), 2)
  assert.is(chooseOutput(after, 2, findings('pass', 'pass', 'suspect'), THREE), null)
})

test.run()
