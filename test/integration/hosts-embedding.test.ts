/** The bundled sentence encoder in its process: what it means, what it survives, what it refuses to load. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { LoadRequest } from '../../models/backend.ts'
import { fileDigest } from '../../models/model-file.ts'
import { NEVER } from '../support/ask-backend.ts'
import { codeOf, failureOf } from '../support/error-code.ts'
import { closeHosts, createHost, USE_LOAD } from '../support/host.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const WHOLE = readFileSync(USE_LOAD.path)
const VOCABULARY = readFileSync(USE_LOAD.tokenizer?.path ?? '', 'utf8')
const SENTENCE = 'A small dog slept in the warm sun.'

const PARAPHRASES: readonly (readonly [string, string])[] = [
  ['The cat sat on the mat.', 'A cat is sitting on a rug.'],
  ['How do I reset my password?', 'I forgot my password, how can I change it?'],
  ['The stock market fell sharply today.', 'Share prices dropped a lot this afternoon.'],
  ['She plays the piano very well.', 'She is an excellent pianist.'],
  ['It will rain tomorrow morning.', 'The forecast says rain for tomorrow.'],
  ['The doctor told him to eat less sugar.', 'His physician advised a diet with less sugar.'],
  ['The train to London was late.', 'Our train to London arrived with a delay.'],
  ['Children were playing football in the park.', 'Kids kicked a ball around in the park.'],
  ['The company hired fifty new engineers.', 'Fifty engineers got jobs at the company.'],
  ['I love eating fresh bread in the morning.', 'Fresh bread for breakfast is my favourite.'],
]

function cosine(left: Float32Array = new Float32Array(), right: Float32Array = new Float32Array()): number {
  return left.reduce((sum, value, place) => sum + value * (right[place] ?? 0), 0)
}

test(
  'sentences that mean the same are nearer than any that do not',
  within(20_000, async () => {
    const { backend } = createHost()
    await backend.load(USE_LOAD)
    const { vectors: left } = await backend.embed(
      PARAPHRASES.map(([text]) => text),
      NEVER,
    )
    const { vectors: right } = await backend.embed(
      PARAPHRASES.map(([, text]) => text),
      NEVER,
    )
    for (const [index, vector] of left.entries()) {
      const likeness = right.map((other) => cosine(vector, other))
      const own = likeness[index] ?? 0
      assert.ok(own > 0.5, `${PARAPHRASES[index]?.[0]} ${own}`)
      assert.ok(likeness.every((other, at) => at === index || other < own - 0.1))
    }
    await backend.close()
  }),
)

test(
  'a host that is killed fails the texts it had, and the same backend embeds again',
  within(20_000, async () => {
    const { backend, events } = createHost({ backoffMinMs: 10 })
    await backend.load(USE_LOAD)
    const texts = Array.from({ length: 64 }, (_, index) => `${SENTENCE.repeat(8)} ${index}`)
    const before = await backend.embed([SENTENCE], NEVER)
    const running = [1, 2, 3, 4].map(() => codeOf(backend.embed(texts, NEVER)))
    while ((await backend.metrics()).slotsBusy < 4) await new Promise((resolve) => setImmediate(resolve))
    process.kill(backend.pid ?? 0, 'SIGKILL')
    assert.equal(new Set(await Promise.all(running)), new Set(['CF_WORKER_HOST_LOST']))
    const after = await backend.embed([SENTENCE], NEVER)
    assert.equal(after.vectors, before.vectors)
    assert.equal(
      events.map(({ type }) => type),
      ['host_ready', 'host_lost', 'host_ready'],
    )
    await backend.close()
  }),
)

test(
  'the number of threads does not change a vector',
  within(20_000, async () => {
    const vectors: Float32Array[] = []
    for (const threads of [1, 2]) {
      const { backend } = createHost()
      await backend.load({ ...USE_LOAD, threads })
      vectors.push(...(await backend.embed([SENTENCE.repeat(10)], NEVER)).vectors)
      await backend.close()
    }
    assert.ok(cosine(vectors[0], vectors[1]) > 1 - 1e-6)
  }),
)

test(
  'two thousand texts of all lengths leave no memory behind',
  within(60_000, async () => {
    const { backend } = createHost()
    await backend.load(USE_LOAD)
    const embedMany = async (count: number): Promise<number> => {
      for (let index = 0; index < count; index += 25) {
        const texts = Array.from({ length: 25 }, (_, place) =>
          `${index} a bird sang `.repeat(1 + ((index + place) % 16)),
        )
        await backend.embed(texts, NEVER)
      }
      return (await backend.metrics()).residentBytes
    }
    const warm = await embedMany(500)
    const grown = (await embedMany(2_000)) - warm
    assert.ok(grown < 24 * 1_048_576, `${grown} bytes more than the ${warm} after the first 500`)
    assert.ok(warm + grown < USE_LOAD.memoryBytesMax)
    await backend.close()
  }),
)

/** Loads with these bytes under their own digest: only the engine can find fault with them. */
async function refusal(
  files: { readonly model?: Uint8Array; readonly vocabulary?: string },
  part: Partial<LoadRequest> = {},
): Promise<string> {
  const folder = tempFolder()
  const [path, vocabulary] = [join(folder, 'model.onnx'), join(folder, 'vocabulary.json')]
  writeFileSync(path, files.model ?? WHOLE)
  writeFileSync(vocabulary, files.vocabulary ?? VOCABULARY)
  const { backend } = createHost()
  const tokenizer = { path: vocabulary, digest: await fileDigest(vocabulary) }
  const request = { ...USE_LOAD, path, digest: await fileDigest(path), tokenizer, ...part }
  const { code, detail } = await failureOf(backend.load(request))
  await backend.close()
  return `${code} ${detail['reason'] ?? ''}`.trim()
}

function renamed(from: string, to: string): Uint8Array {
  return Buffer.from(WHOLE.toString('latin1').replaceAll(from, to), 'latin1')
}

test(
  'a model file that is cut short, empty, something else or another kind of model does not load',
  within(30_000, async () => {
    assert.is(await refusal({ model: WHOLE.subarray(0, 5_000_000) }), 'CF_MODEL_LOAD_FAILED engine_refused')
    assert.is(await refusal({ model: new Uint8Array() }), 'CF_MODEL_LOAD_FAILED engine_refused')
    assert.is(await refusal({ model: Buffer.from('<html>not found</html>') }), 'CF_MODEL_LOAD_FAILED engine_refused')
    assert.is(await refusal({ model: renamed('embedding', 'embeddinX') }), 'CF_MODEL_LOAD_FAILED signature_invalid')
    assert.is(await refusal({ model: renamed('ids', 'idx') }), 'CF_MODEL_LOAD_FAILED signature_invalid')
  }),
)

test(
  'a vocabulary that is gone, no vocabulary, or larger than the model does not load',
  within(30_000, async () => {
    const larger = JSON.stringify([...JSON.parse(VOCABULARY), ...Array(1_000).fill(['zzzz', -20])])
    assert.is(await refusal({ vocabulary: larger }), 'CF_MODEL_LOAD_FAILED probe_failed')
    assert.is(await refusal({ vocabulary: '{"a":1}' }), 'CF_MODEL_LOAD_FAILED tokenizer_invalid')
    assert.is(await refusal({ vocabulary: VOCABULARY.slice(0, 9_000) }), 'CF_MODEL_LOAD_FAILED tokenizer_invalid')
    const gone = { path: '/nowhere.json', digest: USE_LOAD.tokenizer?.digest ?? '' }
    assert.is(await refusal({}, { tokenizer: gone }), 'CF_MODEL_LOAD_FAILED file_unreadable')
  }),
)

test(
  'a device that the engine does not have, or memory that it cannot have, is refused',
  within(20_000, async () => {
    assert.is(await refusal({}, { gpu: 'cuda' }), 'CF_MODEL_LOAD_FAILED device_absent')
    assert.is(await refusal({}, { memoryBytesMax: 100_000_000 }), 'CF_MODEL_OUT_OF_MEMORY')
  }),
)

test.after(closeHosts)
test.run()
