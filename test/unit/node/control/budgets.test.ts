/** Budgets against a plain model: random jobs, crashes at every step, restarts from what was on the disk. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Budgets } from '../../../../node/control/budgets.ts'
import type { Caller } from '../../../../node/control/caller.ts'
import type { KeyHold } from '../../../../node/runtime/access.ts'
import type { Random } from '../../../../node/runtime/ports.ts'
import { createLogger } from '../../../../node/runtime/telemetry.ts'
import { MemoryUsage, NO_LIMITS } from '../../../support/access.ts'
import { codeOf } from '../../../support/error-code.ts'
import { manualClock } from '../../../support/manual-clock.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'
import { within } from '../../../support/within.ts'

const DAY_MS = 86_400_000
const caller = (budget: bigint | null, budgetPerDay: bigint | null = null): Caller => ({
  ...{ id: 'a', role: 'user', isKept: true, limits: { ...NO_LIMITS, budget, budgetPerDay } },
})

function budgetsOver(usage: MemoryUsage, startMs = 0, random: Random = seededRandom(1)) {
  const clock = manualClock(startMs)
  return { clock, budgets: new Budgets({ usage, clock, random, log: createLogger('silent') }) }
}

test(
  'what is held and what was spent never add up to more than the budget, through any number of crashes',
  within(10_000, async () => {
    const random = seededRandom(testSeed())
    const draw = (max: number): number => random.below(max)
    const [usage, who] = [new MemoryUsage(0), caller(1_000n)]
    let { budgets } = budgetsOver(usage, 0, random)
    /** What the ledger would say: the truth that a crash does not change. */
    let paid = 0n
    let open: KeyHold[] = []
    let refused = 0
    for (let step = 0; step < 2_000; step += 1) {
      const action = draw(10)
      if (action < 5) {
        const amount = BigInt(1 + draw(100))
        const hold = await budgets.reserve(who, amount, BigInt(step)).catch(() => undefined)
        if (hold === undefined) refused += 1
        else open.push(hold)
      } else if (action < 9) {
        const hold = open.shift()
        if (hold === undefined) continue
        const cost = hold.amount === 0n ? 0n : BigInt(draw(Number(hold.amount) + 1)) / 8n
        paid += cost
        budgets.settle(hold, cost)
      } else {
        budgets = budgetsOver(usage, 0, random).budgets
        open = [...budgets.unsettled()]
      }
      const { spent, held } = budgets.figures('a')
      assert.is(spent, paid, `step ${step}`)
      assert.is(
        held,
        open.reduce((sum, hold) => sum + hold.amount, 0n),
        `step ${step}`,
      )
      assert.ok(spent + held <= 1_000n, `step ${step}`)
    }
    assert.ok(refused > 0 && paid > 0n, `refused ${refused}, paid ${paid}`)
  }),
)

test(
  'two reservations at once cannot both have the last of it',
  within(1_000, async () => {
    const { budgets } = budgetsOver(new MemoryUsage())
    const both = await Promise.all([1n, 2n].map((nonce) => codeOf(budgets.reserve(caller(10n), 6n, nonce))))
    assert.equal(both.sort(), ['CF_CONTROL_BUDGET_EXHAUSTED', 'resolved'])
  }),
)

test(
  'a job is paid by the day that it began on',
  within(1_000, async () => {
    const { budgets, clock } = budgetsOver(new MemoryUsage(), DAY_MS - 1)
    const who = caller(null, 10n)
    const hold = await budgets.reserve(who, 10n, 1n)
    await clock.advance(1)
    budgets.settle(hold, 10n)
    assert.equal(budgets.figures('a'), { spent: 10n, spentToday: 0n, held: 0n })
    assert.is(await codeOf(budgets.reserve(who, 10n, 2n)), 'resolved', 'the new day has its own')
  }),
)

test(
  'what is left of a budget that was lowered is nothing, not less',
  within(1_000, async () => {
    const { budgets } = budgetsOver(new MemoryUsage())
    budgets.settle(await budgets.reserve(caller(100n), 90n, 1n), 90n)
    const lowered = budgets.reserve(caller(50n), 1n, 2n)
    await lowered.catch((error: unknown) => assert.is(Object(error).detail.budgetLeft, 0n))
    assert.is(await codeOf(lowered), 'CF_CONTROL_BUDGET_EXHAUSTED')
  }),
)

test.run()
