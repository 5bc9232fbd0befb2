import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { settlementOf } from '../../../../core/log/settling.ts'
import { LogSwarm } from '../../../support/log-swarm.ts'
import { digestNamed } from '../../../support/people.ts'

/** Two workers agree, the third one's output, which the client has read, is nobody else's. */
function twoAgainstOne() {
  const swarm = new LogSwarm()
  const lone = { verdict: 'inconclusive', agree: 1, tokensRoot: digestNamed('another output') } as const
  return { swarm, job: swarm.judged({ verify: 'after' }, [lone]) }
}

function assuranceOf(chosen: number): string {
  const { swarm, job } = twoAgainstOne()
  const settled = settlementOf(swarm.state, job, chosen, 'paid')
  return settled.status === 'ok' ? settled.body.assurance : settled.status
}

test('an answer that nobody agreed with is not called replicated because two others agreed', () => {
  assert.is(assuranceOf(0), 'unaudited')
})

test('the answer that two owners agreed on is called replicated', () => {
  assert.is(assuranceOf(1), 'replicated')
})

test.run()
