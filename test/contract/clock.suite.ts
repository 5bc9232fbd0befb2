/** What every Clock must do, real or virtual. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Clock } from '../../node/runtime/ports.ts'
import { within } from '../support/within.ts'

type Test = ReturnType<typeof suite>

/** @param create  a clock that moves by itself while something sleeps on it */
export function clockSuite(name: string, create: () => Clock): Test {
  const test = suite(`clock: ${name}`)

  test(
    'a sleep takes at least its time by both clocks',
    within(2_000, async () => {
      const clock = create()
      const [wall, monotonic] = [clock.nowMs(), clock.monotonicNs()]
      await clock.sleep(20)
      assert.ok(clock.monotonicNs() - monotonic >= 19_000_000n)
      assert.ok(clock.nowMs() - wall >= 18)
    }),
  )

  test(
    'monotonic time never goes back',
    within(2_000, async () => {
      const clock = create()
      let last = clock.monotonicNs()
      for (let round = 0; round < 1_000; round += 1) {
        const now = clock.monotonicNs()
        assert.ok(now >= last)
        last = now
      }
    }),
  )

  test(
    'shorter sleeps end first and zero ends at all',
    within(2_000, async () => {
      const clock = create()
      const order: number[] = []
      await Promise.all([30, 0, 10].map((ms) => clock.sleep(ms).then(() => order.push(ms))))
      assert.equal(order, [0, 10, 30])
    }),
  )

  test(
    "a sleep throws its signal's reason, at once when it was aborted before",
    within(2_000, async () => {
      const clock = create()
      const stop = new AbortController()
      const reason = new Error('enough')
      const sleeping = clock.sleep(60_000, stop.signal).catch((error: unknown) => error)
      stop.abort(reason)
      assert.is(await sleeping, reason)
      assert.is(await clock.sleep(60_000, stop.signal).catch((error: unknown) => error), reason)
    }),
  )
  return test
}
