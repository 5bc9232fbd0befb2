import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { findModel } from '../../../models/catalogue.ts'
import { logprobOf } from '../../../models/generate-run.ts'
import { outputSchedule, promptSchedule } from '../../../models/schedule.ts'

test('the schedule cuts a prompt into chunks of 63 and a rest', () => {
  assert.equal(promptSchedule(0), [])
  assert.equal(promptSchedule(512), [512])
  assert.equal(promptSchedule(1_030), [512, 512, 6])
  assert.equal(outputSchedule(130), [63, 63, 4])
})

test('the catalogue knows its models by exact name', () => {
  assert.is(findModel('cfab-tiny')?.licence, 'Apache-2.0')
  assert.is(findModel('CFAB-TINY'), undefined)
  assert.is(findModel('__proto__'), undefined)
})

test('a probability is of the candidates, whatever their logits are added to', () => {
  const logits = [2, 1, -1]
  const shifted = logits.map((logit) => logit + 1_000)
  const probability = Math.exp(logprobOf({ ids: [5, 6, 7], logits }, 6))
  assert.ok(Math.abs(probability - Math.E / (Math.E ** 2 + Math.E + 1 / Math.E)) < 1e-12)
  assert.ok(Math.abs(Math.exp(logprobOf({ ids: [5, 6, 7], logits: shifted }, 6)) - probability) < 1e-9)
})

test.run()
