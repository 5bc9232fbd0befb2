import fc from 'fast-check'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  type Account,
  addVesting,
  spendable,
  takeVesting,
  unvested,
  type Vesting,
} from '../../../../core/ledger/account.ts'
import { LEDGER_LIMITS } from '../../../../core/ledger/bounds.ts'
import { testSeed } from '../../../support/seeded-random.ts'

const account = (parts: Partial<Account>): Account => ({ balance: 0n, held: 0n, vesting: [], ...parts })
const sumOf = (vesting: readonly Vesting[]): bigint => vesting.reduce((sum, { amount }) => sum + amount, 0n)

test('held and unvested credit cannot be spent', () => {
  const mixed = account({ balance: 100n, held: 30n, vesting: [{ amount: 20n, vestsAtMs: 50n }] })
  assert.is(spendable(mixed, 49n), 50n)
  assert.is(spendable(mixed, 50n), 70n)
  assert.is(unvested(mixed, 49n), 20n)
})

test('vesting entries stay in order of time and one time has one entry', () => {
  let vesting: readonly Vesting[] = []
  for (const vestsAtMs of [30n, 10n, 20n, 10n]) vesting = addVesting(vesting, { amount: 1n, vestsAtMs }, 0n)
  assert.equal(vesting, [
    { amount: 2n, vestsAtMs: 10n },
    { amount: 1n, vestsAtMs: 20n },
    { amount: 1n, vestsAtMs: 30n },
  ])
})

test('credit that has vested leaves the list', () => {
  const vesting = addVesting([{ amount: 5n, vestsAtMs: 10n }], { amount: 1n, vestsAtMs: 20n }, 10n)
  assert.equal(vesting, [{ amount: 1n, vestsAtMs: 20n }])
  assert.equal(addVesting(vesting, { amount: 9n, vestsAtMs: 5n }, 10n), vesting)
})

test('the list is bounded, loses no credit and lets none vest sooner than promised', () => {
  const entry = fc.record({
    amount: fc.bigInt({ min: 1n, max: 1_000n }),
    vestsAtMs: fc.bigInt({ min: 1n, max: 10n ** 12n }),
  })
  fc.assert(
    fc.property(fc.array(entry, { minLength: 1, maxLength: 80, size: 'max' }), (entries) => {
      const vesting = entries.reduce<readonly Vesting[]>((list, next) => addVesting(list, next, 0n), [])
      assert.ok(vesting.length <= LEDGER_LIMITS.vestingEntryCountMax)
      assert.is(sumOf(vesting), sumOf(entries))
      for (const { vestsAtMs: atMs } of entries) {
        const [promised, kept] = [entries, vesting].map((list) => sumOf(list.filter((one) => one.vestsAtMs <= atMs)))
        assert.ok((kept ?? 0n) <= (promised ?? 0n))
      }
      const times = vesting.map(({ vestsAtMs }) => vestsAtMs)
      assert.equal(
        times,
        times.toSorted((a, b) => (a < b ? -1 : 1)),
      )
    }),
    { seed: testSeed(), numRuns: 50 },
  )
})

test('clawing back takes the latest first', () => {
  const vesting = [1n, 2n, 3n].map((vestsAtMs) => ({ amount: 10n, vestsAtMs }))
  assert.equal(takeVesting(vesting, 15n, 0n), [
    { amount: 10n, vestsAtMs: 1n },
    { amount: 5n, vestsAtMs: 2n },
  ])
  assert.equal(takeVesting(vesting, 40n, 0n), [])
})

test.run()
