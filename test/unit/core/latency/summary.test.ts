import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { medianOf, summarise } from '../../../../core/latency/summary.ts'

const ms = (value: number) => BigInt(value) * 1_000_000n
const arrivals = (...times: readonly number[]) => times.map((time) => ({ tokenCount: 10, receivedNs: ms(time) }))

test('a stream is summed up in whole milliseconds and thousandths of tokens a second', () => {
  assert.equal(summarise(arrivals(100, 150, 250, 400)), {
    ttftMs: 100,
    tokens: 40,
    tokensPerSecondMilli: 100_000,
    gapP50Ms: 100,
    gapP99Ms: 150,
  })
})

test('nothing, and a single chunk, have no gaps', () => {
  assert.equal(summarise([]), { ttftMs: 0, tokens: 0, tokensPerSecondMilli: 0, gapP50Ms: 0, gapP99Ms: 0 })
  assert.equal(summarise(arrivals(50)), {
    ttftMs: 50,
    tokens: 10,
    tokensPerSecondMilli: 200_000,
    gapP50Ms: 0,
    gapP99Ms: 0,
  })
})

test('percentiles are nearest rank: one stall in fifty gaps shows at the 99th, not at the 50th', () => {
  const times = Array.from({ length: 51 }, (_, place) => (place === 50 ? 2_000 : place * 10))
  const { gapP50Ms, gapP99Ms } = summarise(arrivals(...times))
  assert.is(gapP50Ms, 10)
  assert.is(gapP99Ms, 1_510)
})

test('a stream too fast or too slow for the fields is clamped, never wrapped', () => {
  assert.is(summarise([{ tokenCount: 2 ** 20, receivedNs: 0n }]).tokensPerSecondMilli, 2 ** 32 - 1)
  assert.is(summarise([{ tokenCount: 1, receivedNs: 2n ** 63n }]).ttftMs, 2 ** 32 - 1)
})

test('arrivals out of order are a bug', () => {
  assert.throws(() => summarise(arrivals(20, 10)), /in order/)
})

test('one liar among three witnesses and two among five do not move the median out of the honest range', () => {
  const honest = summarise(arrivals(100, 200))
  const slower = summarise(arrivals(110, 215))
  const [fast, slow] = [summarise(arrivals(1, 2)), summarise(arrivals(90_000, 99_000))]
  for (const liar of [fast, slow]) assert.ok([100, 110].includes(medianOf([honest, liar, slower])?.ttftMs ?? -1))
  assert.ok([100, 110].includes(medianOf([fast, honest, slower, honest, fast])?.ttftMs ?? -1))
})

test('the median of two is the lower, of none nothing', () => {
  assert.is(medianOf([summarise(arrivals(120)), summarise(arrivals(100))])?.ttftMs, 100)
  assert.is(medianOf([]), undefined)
})

test.run()
