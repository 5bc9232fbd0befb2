/** What API keys hold and have spent, on disk. */
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { KeyHold, KeyUsage } from '../../../../node/runtime/access.ts'
import { Database } from '../../../../node/stores/database.ts'
import { createKeyUsage } from '../../../../node/stores/key-usage.ts'
import { tempFolder } from '../../../support/temp-folder.ts'
import { within } from '../../../support/within.ts'

async function withUsage(work: (usage: KeyUsage, reopen: () => Promise<KeyUsage>) => Promise<void>): Promise<void> {
  const path = join(tempFolder(), 'node.db')
  let database = Database.open({ path })
  try {
    await work(createKeyUsage(database), async () => {
      await database.close()
      database = Database.open({ path })
      return createKeyUsage(database)
    })
  } finally {
    await database.close()
  }
}

const hold = (id: string, day = 7): KeyHold => ({ id, key: 'k', amount: 2n ** 53n, day, nonce: 2n ** 64n - 1n })

test(
  'a hold is there after a restart to the last bit, and its settlement ends it and adds what was spent',
  within(5_000, () =>
    withUsage(async (usage, reopen) => {
      await usage.reserve(hold('a'))
      await usage.reserve({ ...hold('b'), nonce: null })
      const later = await reopen()
      assert.equal(later.holds(), [hold('a'), { ...hold('b'), nonce: null }])
      await later.settle(hold('a'), 5n)
      await later.settle(hold('b'), 0n)
      const last = await reopen()
      assert.equal(last.holds(), [])
      assert.equal(
        [...last.spent()].sort((a, b) => (a.day ?? -1) - (b.day ?? -1)),
        [
          { key: 'k', day: null, amount: 5n },
          { key: 'k', day: 7, amount: 5n },
        ],
      )
    }),
  ),
)

test(
  'the newest days of each key are kept, and the sum of all of them',
  within(5_000, () =>
    withUsage(async (usage) => {
      for (let day = 1; day <= 20; day += 1) await usage.settle(hold(`h${day}`, day), 1n)
      await usage.settle({ ...hold('other', 1), key: 'other' }, 1n)
      const days = usage.spent().filter(({ key }) => key === 'k')
      assert.equal(
        days.map(({ day }) => day ?? -1).sort((a, b) => a - b),
        [-1, 13, 14, 15, 16, 17, 18, 19, 20],
      )
      assert.is(days.find(({ day }) => day === null)?.amount, 20n)
      assert.is(usage.spent().filter(({ key }) => key === 'other').length, 2)
    }),
  ),
)

test(
  'the same hold cannot be reserved twice',
  within(5_000, () =>
    withUsage(async (usage) => {
      await usage.reserve(hold('a'))
      let fault: unknown
      await usage.reserve(hold('a')).catch((error: unknown) => {
        fault = error
      })
      assert.ok(fault !== undefined)
      assert.is(usage.holds().length, 1)
    }),
  ),
)

test.run()
