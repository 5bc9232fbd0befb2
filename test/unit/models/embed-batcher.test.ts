/** Who shares a batch with whom, and that every call gets its own vectors back. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { BATCHER_DEFAULTS, type BatcherOptions, EmbedBatcher } from '../../../models/embed-batcher.ts'
import { codeOf } from '../../support/error-code.ts'
import { seededRandom, testSeed } from '../../support/seeded-random.ts'
import { within } from '../../support/within.ts'

/** A text of so many tokens that says who it is. */
function textOf(tokens: number, name = 0): Uint32Array {
  return new Uint32Array(tokens).fill(name)
}

/** An engine whose batches end when they are told to; a vector holds the first id and the length of its text. */
function bench(options: Partial<BatcherOptions> = {}) {
  const batches: (readonly Uint32Array[])[] = []
  const ends: PromiseWithResolvers<void>[] = []
  let nowMs = 0
  const run = async (texts: readonly Uint32Array[]) => {
    const end = Promise.withResolvers<void>()
    batches.push(texts)
    ends.push(end)
    await end.promise
    return texts.map((ids) => Float32Array.of(ids[0] ?? 0, ids.length))
  }
  const batcher = new EmbedBatcher({ ...BATCHER_DEFAULTS, ...options }, { run, nowMs: () => nowMs })
  const turn = () => new Promise((resolve) => setImmediate(resolve))
  return {
    batcher,
    turn,
    lengths: () => batches.map((batch) => batch.map(({ length }) => length)),
    pass: (ms: number) => {
      nowMs += ms
    },
    end: async (error?: Error) => {
      const oldest = ends.shift()
      if (error === undefined) oldest?.resolve()
      else oldest?.reject(error)
      await turn()
    },
  }
}

test(
  'an idle engine starts at once, and what comes meanwhile goes together',
  within(2_000, async () => {
    const { batcher, turn, end, lengths } = bench()
    const first = batcher.embed(1, [textOf(5)])
    await turn()
    assert.equal(lengths(), [[5]])
    const others = [2, 3, 4].map((call) => batcher.embed(call, [textOf(6, call)]))
    await end()
    assert.equal(lengths(), [[5], [6, 6, 6]])
    await end()
    assert.equal(await first, [Float32Array.of(0, 5)])
    assert.equal(
      await Promise.all(others),
      [2, 3, 4].map((name) => [Float32Array.of(name, 6)]),
    )
    assert.is(batcher.callCount, 0)
    assert.is(batcher.tokensRead, 23)
  }),
)

test(
  'texts of other lengths wait for a batch of their own',
  within(2_000, async () => {
    const { batcher, turn, end, lengths } = bench()
    const call = batcher.embed(
      1,
      [8, 100, 7, 9, 97, 1].map((tokens) => textOf(tokens)),
    )
    await turn()
    await end()
    await end()
    await end()
    assert.equal(lengths(), [[8, 7, 1], [100, 97], [9]])
    assert.equal(
      (await call)?.map((vector) => vector[1]),
      [8, 100, 7, 9, 97, 1],
    )
  }),
)

test(
  'the fullest bucket goes first until the oldest text has waited for its patience',
  within(2_000, async () => {
    const { batcher, turn, end, lengths, pass } = bench({ patienceMs: 5 })
    void batcher.embed(1, [textOf(1)])
    await turn()
    void batcher.embed(2, [textOf(50)])
    void batcher.embed(3, [textOf(10), textOf(11)])
    pass(4)
    await end()
    assert.equal(lengths().at(-1), [10, 11])
    void batcher.embed(4, [textOf(10), textOf(11)])
    pass(1)
    await end()
    assert.equal(lengths().at(-1), [50])
    await end()
    assert.equal(lengths().at(-1), [10, 11])
    await end()
  }),
)

test(
  'a batch has its bounds in texts and in padded tokens, and one text always fits',
  within(2_000, async () => {
    const { batcher, turn, end, lengths } = bench({ textCountMax: 4, paddedTokensMax: 64 })
    void batcher.embed(1, [...Array(5).fill(textOf(8)), ...Array(3).fill(textOf(32)), textOf(100)])
    await turn()
    for (let batch = 0; batch < 5; batch++) await end()
    assert.equal(lengths(), [Array(4).fill(8), Array(2).fill(32), [8], [32], [100]])
  }),
)

test(
  'the line is bounded, and whoever is refused has put nothing into it',
  within(2_000, async () => {
    const { batcher, turn, end, lengths } = bench({ waitingCountMax: 3 })
    const first = batcher.embed(1, [textOf(1), textOf(2)])
    assert.is(await codeOf(batcher.embed(2, [textOf(3), textOf(4)])), 'CF_WORKER_QUEUE_FULL')
    const third = batcher.embed(3, [textOf(5)])
    await turn()
    await end()
    assert.equal(lengths(), [[1, 2, 5]])
    assert.is((await first)?.length, 2)
    assert.is((await third)?.length, 1)
  }),
)

test(
  'a cancelled call leaves the line at once, and what of it is computed is dropped',
  within(2_000, async () => {
    const { batcher, turn, end, lengths } = bench({ textCountMax: 2 })
    const leaving = batcher.embed(1, [textOf(1), textOf(2), textOf(3)])
    const staying = batcher.embed(2, [textOf(4)])
    await turn()
    batcher.cancel(1)
    batcher.cancel(7)
    assert.is(await leaving, undefined)
    assert.is(batcher.callCount, 1)
    await end()
    await end()
    assert.equal(lengths(), [[1, 2], [4]])
    assert.is((await staying)?.length, 1)
  }),
)

test(
  'a batch that fails fails its calls and no others',
  within(2_000, async () => {
    const { batcher, turn, end, lengths } = bench({ textCountMax: 2 })
    const failing = codeOf(batcher.embed(1, [textOf(1), textOf(2), textOf(3)]))
    const staying = batcher.embed(2, [textOf(50)])
    await turn()
    await end(new Error('broken'))
    assert.match(await failing, 'broken')
    await end()
    assert.equal(lengths(), [[1, 2], [50]])
    assert.is((await staying)?.length, 1)
  }),
)

test(
  'whatever comes in whatever order, every call gets its own vectors in its own order',
  within(10_000, async () => {
    const random = seededRandom(testSeed())
    const run = async (texts: readonly Uint32Array[]) => {
      assert.ok(texts.length <= 32)
      const lengths = texts.map(({ length }) => length)
      assert.ok(Math.max(...lengths) - Math.min(...lengths) < 8)
      assert.ok(texts.length === 1 || texts.length * Math.max(...lengths) <= 1_024)
      await new Promise((resolve) => setImmediate(resolve))
      return texts.map((ids) => Float32Array.of(ids[0] ?? 0, ids.length))
    }
    const batcher = new EmbedBatcher(BATCHER_DEFAULTS, { run, nowMs: () => random.below(10) })
    let name = 0
    const answers: Promise<void>[] = []
    for (let call = 0; call < 300; call++) {
      const texts = Array.from({ length: 1 + random.below(6) }, () => textOf(1 + random.below(128), name++))
      const check = async () =>
        assert.equal(
          await batcher.embed(call, texts),
          texts.map((ids) => Float32Array.of(ids[0] ?? 0, ids.length)),
        )
      answers.push(check())
      if (random.below(3) === 0) await new Promise((resolve) => setImmediate(resolve))
    }
    await Promise.all(answers)
    assert.is(batcher.callCount, 0)
  }),
)

test.run()
