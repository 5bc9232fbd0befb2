/** GGUF encoders in their compute host: whichever driver computes, and whatever else is asked, a text has one vector. */
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Backend, LoadRequest } from '../../models/backend.ts'
import { parseTokenizer } from '../../models/vocabulary.ts'
import { NEVER } from '../support/ask-backend.ts'
import { hasNativeEngine } from '../support/drivers.ts'
import { failureOf } from '../support/error-code.ts'
import { GGUF_BERT, ggufBertLoad } from '../support/gguf-bert.ts'
import { GGUF_POOLING, ggufEncoderLoad } from '../support/gguf-file.ts'
import { closeHosts, createHost } from '../support/host.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'
import { wordPieceFile } from '../support/word-pieces.ts'

const LIMIT_MS = 30_000
const TEXTS = ['A red kite.', 'the birds sing, singing', '日 a a a a a a a', 'a', 'Red kites sail! '.repeat(7)]
const DRIVERS = hasNativeEngine() ? (['native', 'lockstep'] as const) : (['lockstep'] as const)
const folder = tempFolder()

const ENCODERS: readonly (readonly [name: string, load: LoadRequest])[] = [
  ['the mean of a causal model', ggufEncoderLoad(join(folder, 'mean.gguf'), GGUF_POOLING.mean)],
  ['the last token of a causal model', ggufEncoderLoad(join(folder, 'last.gguf'), GGUF_POOLING.last)],
  ['the mean of a BERT', ggufBertLoad(join(folder, 'bert-mean.gguf'), 'mean')],
  ['the first token of a BERT', ggufBertLoad(join(folder, 'bert-cls.gguf'), 'cls')],
]

async function loaded(load: LoadRequest): Promise<Backend> {
  const { backend } = createHost()
  const { driver } = await backend.load(load)
  assert.is(driver.kind, load.driver)
  return backend
}

for (const [name, load] of ENCODERS)
  test(
    `${name}: the same bytes alone, among others, and from each driver`,
    within(LIMIT_MS, async () => {
      const answers: { ids: unknown; vectors: readonly Float32Array[] }[] = []
      for (const driver of DRIVERS) {
        const backend = await loaded({ ...load, driver })
        const { vectors, tokenCounts } = await backend.embed(TEXTS, NEVER)
        const ids = await Promise.all(TEXTS.map((text) => backend.tokenize(text, false)))
        assert.equal(
          ids.map(({ length }) => length),
          tokenCounts,
        )
        const together = await Promise.all(TEXTS.map((text) => backend.embed([text], NEVER)))
        assert.equal(
          together.map((answer) => answer.vectors[0]),
          vectors,
        )
        answers.push({ ids, vectors })
        await backend.close()
      }
      for (const answer of answers) assert.equal(answer, answers[0])
    }),
  )

for (const driver of DRIVERS)
  test(
    `a BERT reads the ids of its tokenizer, and a text with one token too many is refused (${driver})`,
    within(LIMIT_MS, async () => {
      const backend = await loaded({ ...ggufBertLoad(join(folder, 'bert.gguf')), driver })
      const tokenizer = parseTokenizer(wordPieceFile())
      for (const text of TEXTS) assert.equal(await backend.tokenize(text, false), tokenizer?.encode(text), text)
      const room = GGUF_BERT.places - 2
      await backend.embed(['a '.repeat(room)], NEVER)
      const failed = await failureOf(backend.embed(['a', 'a '.repeat(room + 1)], NEVER))
      assert.is(failed.code, 'CF_JOB_CONTEXT_EXCEEDED')
      assert.equal(failed.detail, { index: 1, tokens: GGUF_BERT.places + 1, contextTokens: GGUF_BERT.places })
    }),
  )

for (const driver of DRIVERS)
  test(
    `what looks like a control token in a text is words (${driver})`,
    within(LIMIT_MS, async () => {
      const backend = await loaded({ ...ggufEncoderLoad(join(folder, 'mean.gguf'), GGUF_POOLING.mean), driver })
      const [start, ...ids] = await backend.tokenize('<s>a</s>', false)
      assert.is(start, 1)
      assert.ok(ids.length > 3 && !ids.includes(1) && !ids.includes(2))
    }),
  )

for (const driver of DRIVERS)
  test(
    `a text that is far too long is refused before it is read, by its place (${driver})`,
    within(LIMIT_MS, async () => {
      const backend = await loaded({ ...ggufEncoderLoad(join(folder, 'mean.gguf'), GGUF_POOLING.mean), driver })
      const { code, detail } = await failureOf(backend.embed(['a', 'x'.repeat(400_000)], NEVER))
      assert.equal([code, detail['index'], detail['contextTokens']], ['CF_JOB_CONTEXT_EXCEEDED', 1, 128])
    }),
  )

test.after(closeHosts)
test.run()
