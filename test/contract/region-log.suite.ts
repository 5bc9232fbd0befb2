/** What every RegionLog must do: ordered, durable before it answers, compare-and-set on the head, once per idempotency key. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import { sha256 } from '#core/hash'
import type { LogRecord, Proposed, RegionLog } from '../../node/runtime/ports.ts'
import { codeOf } from '../support/error-code.ts'
import { EMPTY_HASH, toyChain, toyEntry } from '../support/toy-entries.ts'
import { within } from '../support/within.ts'

type Test = ReturnType<typeof suite>
type Create = () => RegionLog | Promise<RegionLog>

export function regionLogSuite(name: string, create: Create): Test {
  const test = suite(`region log: ${name}`)
  appendTests(test, create)
  refusalTests(test, create)
  readTests(test, create)
  tailTests(test, create)
  trimTests(test, create)
  return test
}

const key = (seed: number): Uint8Array => new Uint8Array(32).fill(seed)
const append = (
  log: RegionLog,
  batch: readonly Uint8Array[],
  expectHead: Uint8Array,
  seed: number,
): Promise<Proposed> => log.propose(batch, { expectHead, idempotencyKey: key(seed), projection: [] })
const hashAt = (chain: readonly Uint8Array[], place: number): Uint8Array => sha256(chain[place] ?? EMPTY_HASH)
const indexes = (records: readonly LogRecord[]): bigint[] => records.map(({ index }) => index)

function appendTests(test: Test, create: Create): void {
  test(
    'an empty log has no head and the first batch follows from 32 zero bytes',
    within(2_000, async () => {
      const log = await create()
      assert.is(await log.head(), undefined)
      const chain = toyChain(3)
      const proposed = await append(log, chain, EMPTY_HASH, 1)
      assert.is(proposed.status, 'appended')
      assert.equal(proposed.status !== 'conflict' && [proposed.first, proposed.last], [0n, 2n])
      assert.equal((await log.head())?.index, 2n)
      assert.equal((await log.head())?.hash, hashAt(chain, 2))
      await log.close()
    }),
  )

  test(
    'the same key again gives the first result and appends nothing, even with another head',
    within(2_000, async () => {
      const log = await create()
      const chain = toyChain(4)
      await append(log, chain.slice(0, 2), EMPTY_HASH, 1)
      await append(log, chain.slice(2), hashAt(chain, 1), 2)
      const again = await append(log, chain.slice(0, 2), EMPTY_HASH, 1)
      assert.equal(again.status !== 'conflict' && [again.status, again.first, again.last], ['repeated', 0n, 1n])
      assert.is((await log.head())?.index, 3n)
      await log.close()
    }),
  )

  test(
    'of many that race for one head exactly one wins, the others learn the new head',
    within(2_000, async () => {
      const log = await create()
      const racers = Array.from({ length: 8 }, (_, seed) =>
        append(log, [toyEntry(0n, EMPTY_HASH, key(seed))], EMPTY_HASH, seed),
      )
      const results = await Promise.all(racers)
      assert.is(results.filter(({ status }) => status === 'appended').length, 1)
      const head = await log.head()
      for (const result of results) if (result.status === 'conflict') assert.equal(result.head.hash, head?.hash)
      assert.is((await log.read(0n, 9)).length, 1)
      await log.close()
    }),
  )
}

function refusalTests(test: Test, create: Create): void {
  test(
    'another expected head is a conflict that names the head and writes nothing',
    within(2_000, async () => {
      const log = await create()
      const chain = toyChain(2)
      await append(log, chain, EMPTY_HASH, 1)
      const late = await append(log, [toyEntry(1n, hashAt(chain, 0))], hashAt(chain, 0), 2)
      assert.is(late.status, 'conflict')
      assert.equal(late.status === 'conflict' && late.head.index, 1n)
      assert.is((await log.read(0n, 9)).length, 2)
      await log.close()
    }),
  )

  test(
    'a batch that does not chain is refused as a whole',
    within(2_000, async () => {
      const log = await create()
      const [first = EMPTY_HASH] = toyChain(1)
      const broken = [first, toyEntry(1n, key(7))]
      assert.is(await codeOf(append(log, broken, EMPTY_HASH, 1)), 'CF_LEDGER_REFUSED')
      assert.is(await codeOf(append(log, [toyEntry(5n, EMPTY_HASH)], EMPTY_HASH, 1)), 'CF_LEDGER_REFUSED')
      assert.is(await codeOf(append(log, [key(1)], EMPTY_HASH, 1)), 'CF_LEDGER_REFUSED')
      assert.is(await log.head(), undefined)
      assert.is((await append(log, [first], EMPTY_HASH, 1)).status, 'appended')
      await log.close()
    }),
  )
}

function readTests(test: Test, create: Create): void {
  test(
    'read gives entries in order from an index, no more than asked, none beyond the head',
    within(2_000, async () => {
      const log = await create()
      const chain = toyChain(5)
      await append(log, chain, EMPTY_HASH, 1)
      assert.equal(indexes(await log.read(0n, 9)), [0n, 1n, 2n, 3n, 4n])
      assert.equal(indexes(await log.read(2n, 2)), [2n, 3n])
      assert.equal(indexes(await log.read(5n, 9)), [])
      assert.equal(indexes(await log.read(99n, 9)), [])
      assert.equal((await log.read(3n, 1))[0]?.bytes, chain[3])
      await log.close()
    }),
  )
}

function tailTests(test: Test, create: Create): void {
  test(
    'a tail gives what is there, then what comes, each once and in order, until its signal aborts',
    within(2_000, async () => {
      const log = await create()
      const chain = toyChain(6)
      await append(log, chain.slice(0, 2), EMPTY_HASH, 1)
      const stop = new AbortController()
      const seen: bigint[] = []
      const reading = (async () => {
        for await (const { index } of log.tail(1n, stop.signal)) {
          seen.push(index)
          if (index === 5n) stop.abort()
        }
      })()
      await append(log, chain.slice(2, 4), hashAt(chain, 1), 2)
      await append(log, chain.slice(4), hashAt(chain, 3), 3)
      await reading
      assert.equal(seen, [1n, 2n, 3n, 4n, 5n])
      await log.close()
    }),
  )

  test(
    'a tail that waits ends when its signal aborts or the log closes',
    within(2_000, async () => {
      const log = await create()
      const stop = new AbortController()
      const drain = async (signal: AbortSignal): Promise<number> => {
        let count = 0
        for await (const _record of log.tail(0n, signal)) count += 1
        return count
      }
      const [aborted, closed, before] = [
        drain(stop.signal),
        drain(new AbortController().signal),
        drain(AbortSignal.abort()),
      ]
      stop.abort()
      assert.is(await aborted, 0)
      assert.is(await before, 0)
      await log.close()
      assert.is(await closed, 0)
    }),
  )
}

function trimTests(test: Test, create: Create): void {
  test(
    'only what a snapshot covers can be trimmed, and the head always stays',
    within(2_000, async () => {
      const log = await create()
      const chain = toyChain(6)
      await append(log, chain.slice(0, 5), EMPTY_HASH, 1)
      assert.is(await codeOf(log.trim(1n)), 'CF_STORE_FAILED')
      assert.is(await codeOf(log.snapshot(5n, key(1))), 'CF_STORE_FAILED')
      await log.snapshot(2n, key(1))
      assert.is(await codeOf(log.trim(4n)), 'CF_STORE_FAILED')
      await log.trim(3n)
      assert.equal(indexes(await log.read(3n, 9)), [3n, 4n])
      assert.is(await codeOf(log.read(0n, 9)), 'CF_STORE_FAILED')
      await log.snapshot(4n, key(2))
      await log.trim(5n)
      assert.is((await log.head())?.index, 4n)
      assert.is((await append(log, chain.slice(5), hashAt(chain, 4), 2)).status, 'appended')
      assert.equal(indexes(await log.read(4n, 9)), [4n, 5n])
      await log.close()
    }),
  )
}
