import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  auditOverhead,
  breakEvenRate,
  cheatValue,
  corruptionChance,
  honestValue,
  slashNeeded,
} from '../../../../core/verification/economics.ts'

const TERMS = {
  ...{
    price: 1,
    honestCost: 0.6,
    saving: 0.35,
    auditRate: 0.1,
    power: 0.97,
    falseFail: 0.001,
    slash: 10,
    franchise: 0,
  },
}
const near = (actual: number, expected: number, within: number): void =>
  assert.ok(Math.abs(actual - expected) <= within, `${actual}, not ${expected}`)

test('with a slash of ten prices a tenth of audits deters; with five and half of them it does not', () => {
  near(honestValue(TERMS), 0.399, 0.001)
  near(cheatValue(TERMS), -0.317, 0.001)
  near(cheatValue({ ...TERMS, auditRate: 0.05, slash: 5 }), 0.459, 0.001)
  near(cheatValue({ ...TERMS, auditRate: 0.05 }), 0.217, 0.001)
})

test('the rate that breaks even, by what is saved and what is lost', () => {
  const rows = [
    [0.15, [15.5, 5.2, 2.6, 1.4, 0.7, 0.3]],
    [0.35, [36.1, 12.0, 6.0, 3.3, 1.7, 0.7]],
    [0.55, [56.8, 18.9, 9.5, 5.2, 2.7, 1.1]],
  ] as const
  for (const [saving, percents] of rows)
    for (const [place, slash] of [0, 2, 5, 10, 20, 50].entries())
      near(100 * breakEvenRate({ ...TERMS, saving, slash }), percents[place] ?? 0, 0.06)
})

test('at the rate that breaks even a cheat earns what an honest worker does, and with the slash that is needed too', () => {
  for (const slash of [0, 1, 10]) {
    const auditRate = breakEvenRate({ ...TERMS, slash })
    near(cheatValue({ ...TERMS, slash, auditRate }), honestValue({ ...TERMS, slash, auditRate }), 1e-9)
  }
  const slash = slashNeeded(TERMS)
  near(cheatValue({ ...TERMS, slash }), honestValue({ ...TERMS, slash }), 1e-9)
  assert.is(slashNeeded({ ...TERMS, auditRate: 1 }), 0)
})

test('one auditor first costs less than half of three, and equal outputs share an audit', () => {
  const all = { auditRate: 0.1, auditors: 3, auditCost: 0.07, furtherShare: 1, classSize: 1 }
  near(auditOverhead(all), 0.021, 1e-9)
  near(auditOverhead({ ...all, furtherShare: 0.2 }) / auditOverhead(all), 0.467, 0.001)
  near(auditOverhead({ ...all, auditRate: 1, furtherShare: 0, classSize: 3 }), 0.07 / 3, 1e-9)
})

test('how often a committee falls to its corrupt members', () => {
  const rows = [
    [3, 2, [7.3e-3, 2.8e-2, 1.0e-1, 2.2e-1]],
    [5, 4, [3.0e-5, 4.6e-4, 6.7e-3, 3.1e-2]],
    [7, 5, [6.0e-6, 1.8e-4, 4.7e-3, 2.9e-2]],
    [13, 9, [1.2e-9, 4.9e-7, 1.7e-4, 4.0e-3]],
  ] as const
  for (const [size, needed, chances] of rows)
    for (const [place, share] of [0.05, 0.1, 0.2, 0.3].entries()) {
      const expected = chances[place] ?? 0
      near(corruptionChance(size, needed, share), expected, expected * 0.05)
    }
})

test.run()
