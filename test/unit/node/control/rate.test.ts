/** Token buckets: exact counts against a plain model, clocks that step, and their bound. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Caller } from '../../../../node/control/caller.ts'
import { durationText, RateBuckets } from '../../../../node/control/rate.ts'
import { NO_LIMITS } from '../../../support/access.ts'
import { seededRandom, testSeed } from '../../../support/seeded-random.ts'

const MS = 1_000_000n
const SECOND = 1_000n * MS

function caller(id: string, ratePerMinute: number | null, burst: number | null = null): Caller {
  return { id, role: 'user', isKept: true, limits: { ...NO_LIMITS, ratePerMinute, burst } }
}

function taken(buckets: RateBuckets, who: Caller, nowNs: bigint, tries: number): number {
  return Array.from({ length: tries }, () => buckets.take(who, nowNs)).filter(({ refusal }) => refusal === undefined)
    .length
}

test('no rate is no limit and no headers', () => {
  const buckets = new RateBuckets()
  assert.equal(buckets.take(caller('a', null), 0n), { headers: {}, refusal: undefined })
  assert.is(buckets.count, 0)
})

test('a bucket fills to its burst and no further', () => {
  const [buckets, who] = [new RateBuckets(), caller('a', 60, 3)]
  assert.is(taken(buckets, who, 0n, 10), 3)
  assert.is(taken(buckets, who, SECOND, 10), 1)
  assert.is(taken(buckets, who, 1_000_000n * SECOND, 10), 3)
  assert.is(taken(new RateBuckets(), caller('b', 7), 0n, 100), 7, 'without a burst: a minute of it')
})

test('a clock that goes back gives nothing and takes nothing for ever', () => {
  const [buckets, who] = [new RateBuckets(), caller('a', 60, 2)]
  assert.is(taken(buckets, who, 1_000n * SECOND, 5), 2)
  assert.is(taken(buckets, who, 10n * SECOND, 5), 0)
  assert.is(taken(buckets, who, 12n * SECOND, 5), 2, 'time goes on from where the clock went')
})

test('over any span no more get through than burst and rate allow', () => {
  const random = seededRandom(testSeed())
  const [buckets, who] = [new RateBuckets(), caller('a', 120, 5)]
  const passed: bigint[] = []
  let nowNs = 0n
  for (let count = 0; count < 3_000; count += 1) {
    nowNs += BigInt(random.below(200)) * 10n * MS
    if (buckets.take(who, nowNs).refusal === undefined) passed.push(nowNs)
  }
  for (let from = 0; from < passed.length; from += 1) {
    for (let to = from; to < Math.min(passed.length, from + 40); to += 1) {
      const spanNs = (passed[to] ?? 0n) - (passed[from] ?? 0n)
      assert.ok(to - from + 1 <= 5 + Number(spanNs) / 500_000_000 + 1e-6, `${from}..${to}`)
    }
  }
  assert.ok(passed.length > 100)
})

test('whoever waits as long as it was told gets through, and not before', () => {
  const [buckets, who] = [new RateBuckets(), caller('a', 7, 1)]
  buckets.take(who, 0n)
  const { refusal } = buckets.take(who, 0n)
  assert.is(refusal?.detail['retryAfterSeconds'], 9)
  assert.is(taken(buckets, who, 8n * SECOND, 1), 0)
  assert.is(taken(buckets, who, 9n * SECOND, 1), 1)
})

test('there are no more buckets than there can be keys', () => {
  const buckets = new RateBuckets()
  for (let index = 0; index < 5_000; index += 1) buckets.take(caller(`k${index}`, 60), 0n)
  assert.is(buckets.count, 2_048)
})

test('durations are written as OpenAI writes them', () => {
  const texts = [0, 0.2, 120, 1_000, 8_640, 59_999, 60_000, 360_000, 61_500, 119_700].map(durationText)
  assert.equal(texts, ['0s', '1ms', '120ms', '1s', '8.64s', '59.999s', '1m0s', '6m0s', '1m2s', '2m0s'])
})

test.run()
