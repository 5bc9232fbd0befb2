/** What every Backend must do whose model embeds, whatever computes beneath it. */
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { Backend, LoadedModel, LoadRequest } from '../../models/backend.ts'
import { NEVER, requestOf, STORY } from '../support/ask-backend.ts'
import { codeOf, failureOf } from '../support/error-code.ts'
import { within } from '../support/within.ts'

export type EmbeddingUnderTest = {
  /** A backend without a model. */
  readonly create: () => Backend
  readonly request: LoadRequest
  readonly waitingCountMax: number
  /** For one test. */
  readonly limitMs: number
}
type EmbeddingTest = ReturnType<typeof suite<{ backend: Backend; model: LoadedModel }>>

const SAME_MAX = 1e-6
const TEXTS_MAX = 64

export function embeddingSuite(name: string, subject: EmbeddingUnderTest): EmbeddingTest {
  const test = suite<{ backend: Backend; model: LoadedModel }>(`embedding: ${name}`)
  test.before(async (context) => {
    context.backend = subject.create()
    context.model = await context.backend.load(subject.request)
  })
  test.after(async ({ backend }) => backend.close())
  loadTests(test, subject)
  vectorTests(test, subject)
  refusalTests(test, subject)
  return test
}

function sentence(words: number): string {
  return Array.from({ length: words }, (_, index) => ['a', 'bird', 'sang', 'to', 'me'][index % 5]).join(' ')
}

/** The largest difference of any two numbers at one place. */
export function distance(left: Float32Array | undefined, right: Float32Array | undefined): number {
  assert.is(left?.length, right?.length)
  return Math.max(...(left ?? []).map((value, place) => Math.abs(value - (right?.[place] ?? Number.NaN))))
}

function loadTests(test: EmbeddingTest, { create, request, limitMs }: EmbeddingUnderTest): void {
  test('a loaded model says what it is', ({ model }) => {
    assert.is(model.digest, request.digest)
    assert.match(model.engineId, /^[\x20-\x7e]{1,96}$/)
    assert.is(model.templateDigest, request.tokenizer?.digest ?? request.digest)
    assert.equal(model.stopIds, [])
    assert.is(model.slotCount, request.slotCount)
    assert.is(model.contextTokens, 128)
    assert.ok(model.dimensions > 0 && model.vocabSize > 0)
  })

  test(
    'without a model, and after closing, calls say so',
    within(limitMs, async () => {
      const backend = create()
      assert.is(await codeOf(backend.embed(['a'], NEVER)), 'CF_MODEL_UNKNOWN')
      await backend.close()
      assert.is(await codeOf(backend.embed(['a'], NEVER)), 'CF_CONTROL_SHUTTING_DOWN')
    }),
  )

  test(
    'a load is refused for other files, too little memory, or without a vocabulary',
    within(limitMs, async () => {
      const backend = create()
      const wrong = '0'.repeat(64)
      const { tokenizer, ...bare } = request
      assert.is(await codeOf(backend.load({ ...request, digest: wrong })), 'CF_MODEL_DIGEST_MISMATCH')
      assert.is(await codeOf(backend.load({ ...request, memoryBytesMax: 1_000 })), 'CF_MODEL_OUT_OF_MEMORY')
      if (tokenizer !== undefined) {
        const other = { ...request, tokenizer: { ...tokenizer, digest: wrong } }
        assert.is(await codeOf(backend.load(other)), 'CF_MODEL_DIGEST_MISMATCH')
        assert.is(await codeOf(backend.load(bare)), 'CF_CONFIG_INVALID')
      }
      await backend.close()
    }),
  )

  test(
    'what was asked before closing is answered',
    within(limitMs, async () => {
      const backend = create()
      await backend.load(request)
      const asked = [1, 2, 3].map((words) => backend.embed([sentence(words), sentence(40)], NEVER))
      await backend.close()
      for (const { vectors } of await Promise.all(asked)) assert.is(vectors.length, 2)
    }),
  )
}

function vectorTests(test: EmbeddingTest, { request, waitingCountMax, limitMs }: EmbeddingUnderTest): void {
  test('each text gets a unit vector of its own, and its tokens are counted', ({ backend, model }) =>
    within(limitMs, async () => {
      const texts = ['A red kite.', 'naïve 日本 🙂', 'A red kite.', sentence(30)]
      const { vectors, tokenCounts } = await backend.embed(texts, NEVER)
      assert.is(vectors.length, texts.length)
      for (const vector of vectors) {
        assert.instance(vector, Float32Array)
        assert.is(vector.length, model.dimensions)
        assert.is(vector.buffer.byteLength, model.dimensions * 4)
        assert.ok(Math.abs(Math.hypot(...vector) - 1) < 1e-5)
      }
      assert.ok(distance(vectors[0], vectors[2]) <= SAME_MAX)
      assert.ok(distance(vectors[0], vectors[1]) > 0.01)
      const ids = await Promise.all(texts.map((text) => backend.tokenize(text, false)))
      assert.equal(
        tokenCounts,
        ids.map(({ length }) => length),
      )
    })())

  test('a text has one vector: alone, in a full batch, and among calls that come together', ({ backend }) =>
    within(limitMs, async () => {
      const texts = Array.from({ length: TEXTS_MAX }, (_, index) => `${sentence(1 + (index % 25))} ${index}`)
      const { vectors } = await backend.embed(texts, NEVER)
      const count = request.slotCount + waitingCountMax
      const together = await Promise.all(texts.slice(0, count).map((text) => backend.embed([text], NEVER)))
      for (const [index, answer] of together.entries())
        assert.ok(distance(answer.vectors[0], vectors[index]) <= SAME_MAX)
      for (const index of [0, 31, 63]) {
        const alone = await backend.embed([texts[index] ?? ''], NEVER)
        assert.ok(distance(alone.vectors[0], vectors[index]) <= SAME_MAX)
      }
    })())

  test('tokens that were read are counted, and nothing is busy afterwards', ({ backend }) =>
    within(limitMs, async () => {
      const before = await backend.metrics()
      const { tokenCounts } = await backend.embed([sentence(3), sentence(20)], NEVER)
      const after = await backend.metrics()
      const read = tokenCounts.reduce((sum, count) => sum + count, 0)
      assert.is(after.tokensPrefilled - before.tokensPrefilled, read)
      assert.is(after.slotsBusy, 0)
      assert.is(after.tokensDecoded, 0)
      assert.ok(after.residentBytes > 0)
    })())
}

function refusalTests(test: EmbeddingTest, { request, waitingCountMax, limitMs }: EmbeddingUnderTest): void {
  test('a text that is too long is refused by its place and size, never cut', ({ backend, model }) =>
    within(limitMs, async () => {
      const long = sentence(model.contextTokens + 1)
      const tokens = (await backend.tokenize(long, false)).length
      const { code, detail } = await failureOf(backend.embed(['fine', long], NEVER))
      assert.is(code, 'CF_JOB_CONTEXT_EXCEEDED')
      assert.equal(detail, { index: 1, tokens, contextTokens: model.contextTokens })
      assert.is((await backend.embed(['fine'], NEVER)).vectors.length, 1)
    })())

  test('no texts, too many, too large ones and empty ones are refused', ({ backend }) =>
    within(limitMs, async () => {
      const wrong = [[], Array(TEXTS_MAX + 1).fill('a'), ['a'.repeat(1_048_577)], [''], ['a', ' \n\t ']]
      for (const texts of wrong) assert.is(await codeOf(backend.embed(texts, NEVER)), 'CF_JOB_INVALID')
    })())

  test('a model that embeds does not talk', ({ backend }) =>
    within(limitMs, async () => {
      const promptIds = Uint32Array.of(6, 7)
      const fine = requestOf(promptIds)
      const generated = (async () => {
        for await (const batch of backend.generate(fine, NEVER)) void batch
      })()
      assert.is(await codeOf(generated), 'CF_MODEL_UNSUPPORTED')
      assert.is(await codeOf(backend.render(STORY)), 'CF_MODEL_UNSUPPORTED')
      const output = { promptIds: Uint32Array.of(5), outputIds: Uint32Array.of(6) }
      assert.is(await codeOf(backend.detokenize(output)), 'CF_MODEL_UNSUPPORTED')
      const audit = backend.audit({ ...fine, outputIds: promptIds, chunks: [2] }, NEVER)
      assert.is(await codeOf(audit), 'CF_MODEL_UNSUPPORTED')
    })())

  test('a cancelled call gets no vectors, and those beside it do', ({ backend }) =>
    within(limitMs, async () => {
      const stop = new AbortController()
      const texts = Array.from({ length: TEXTS_MAX }, (_, index) => `${sentence(40)} ${index}`)
      const running = backend.embed(texts, NEVER)
      const leaving = codeOf(backend.embed(texts, stop.signal))
      stop.abort()
      assert.match(await leaving, 'AbortError')
      assert.match(await codeOf(backend.embed(['a'], AbortSignal.abort())), 'AbortError')
      assert.is((await running).vectors.length, TEXTS_MAX)
    })())

  test('the waiting line has an end, and saying so harms nobody in it', ({ backend }) =>
    within(limitMs, async () => {
      const count = request.slotCount + waitingCountMax
      const asked = Array.from({ length: count }, (_, index) => backend.embed([`text ${index}`], NEVER))
      assert.is(await codeOf(backend.embed(['one more'], NEVER)), 'CF_WORKER_QUEUE_FULL')
      assert.is((await Promise.all(asked)).length, count)
      assert.is((await backend.embed(['one more'], NEVER)).vectors.length, 1)
    })())

  test('abort leaves embeddings alone and resolves', ({ backend }) =>
    within(limitMs, async () => {
      const running = backend.embed([sentence(40)], NEVER)
      await backend.abort()
      assert.is((await running).vectors.length, 1)
    })())
}
