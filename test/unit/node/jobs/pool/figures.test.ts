/** Figures of models: a rate over the last seconds, and totals that outlive the hosts that counted them. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { RateMeter } from '../../../../../node/jobs/pool/rate-meter.ts'
import { EngineTotals } from '../../../../../node/jobs/pool/totals.ts'

const NONE = { steps: 0, stepMs: 0, tokensDecoded: 0, tokensPrefilled: 0, tokensFromCache: 0 }

test('a rate is that of the last ten seconds, from when something first happened', () => {
  let nowMs = 5_000_000
  const meter = new RateMeter(() => nowMs)
  assert.is(meter.perSecond, 0)
  for (let second = 0; second < 4; second += 1) {
    meter.add(50)
    nowMs += 1_000
  }
  assert.is(meter.perSecond, 50)
  for (let second = 0; second < 20; second += 1) {
    meter.add(20)
    nowMs += 1_000
  }
  assert.ok(Math.abs(meter.perSecond - 20) <= 2, `${meter.perSecond}`)
  nowMs += 60_000
  assert.is(meter.perSecond, 0)
  meter.add(30)
  assert.is(meter.perSecond, 30, 'the pause is not part of it')
})

test('a pace is that of the work, and stays when the work ends', () => {
  let nowMs = 5_000_000
  const meter = new RateMeter(() => nowMs)
  const work = (steps: number, stepMs: number): void => {
    for (let step = 0; step < steps; step += 1) {
      meter.add(2)
      nowMs += stepMs
    }
    meter.rest()
  }
  assert.is(meter.pace, 0)
  work(3, 10)
  assert.is(meter.pace, 0, 'too little to tell')
  nowMs += 60_000
  work(11, 10)
  assert.is(meter.pace, 200, 'neither the pause nor what came at once after it is part of it')
  nowMs += 3_600_000
  assert.is(meter.pace, 200)
  work(2_000, 20)
  assert.ok(Math.abs(meter.pace - 100) < 10, `it has become slower: ${meter.pace}`)
})

test('totals go on where a host that is gone has stopped', () => {
  const totals = new EngineTotals()
  totals.read({ ...NONE, steps: 10, stepMs: 100, tokensDecoded: 80 })
  totals.read({ ...NONE, steps: 15, stepMs: 140, tokensDecoded: 120, tokensFromCache: 7 })
  totals.read({ ...NONE, steps: 2, stepMs: 30, tokensDecoded: 16, tokensPrefilled: 9 })
  const { steps, stepMs, tokensDecoded, tokensPrefilled, tokensFromCache } = totals.sum
  assert.equal([steps, stepMs, tokensDecoded, tokensPrefilled, tokensFromCache], [17, 170, 136, 9, 7])
})

test.run()
