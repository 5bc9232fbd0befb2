/** A BERT-shaped encoder in its compute host, against the same sums computed here. */
import { createHash } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { LoadRequest } from '../../models/backend.ts'
import { distance } from '../contract/embedding.suite.ts'
import { NEVER } from '../support/ask-backend.ts'
import { failureOf } from '../support/error-code.ts'
import { closeHosts, createHost, USE_LOAD } from '../support/host.ts'
import { BERT, type BertTables, writeBert } from '../support/onnx-file.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'
import { wordPieceFile } from '../support/word-pieces.ts'

const LIMIT_MS = 20_000
const SAME_MAX = 1e-6
const TEXTS = ['A red kite.', 'the birds sing, singing', '日 a a a a a a a', 'a']

function bertLoad(part: Partial<LoadRequest> = {}, output?: string): { load: LoadRequest; tables: BertTables } {
  const folder = tempFolder()
  const { path, digest, tables } = writeBert(join(folder, 'bert.onnx'), output)
  const tokenizer = { path: join(folder, 'tokenizer.json'), digest: '' }
  writeFileSync(tokenizer.path, wordPieceFile())
  const tokenizerDigest = createHash('sha256').update(wordPieceFile()).digest('hex')
  const load = { ...USE_LOAD, path, digest, tokenizer: { ...tokenizer, digest: tokenizerDigest }, ...part }
  return { load, tables }
}

/** The model by hand: word + place + type, then the mean or the first, then length 1. */
function expected(ids: Uint32Array, { word, place, type }: BertTables, pooling: 'mean' | 'cls'): Float32Array {
  const rows = [...ids].slice(0, pooling === 'cls' ? 1 : ids.length)
  const sum = Array.from({ length: BERT.width }, (_, column) =>
    rows.reduce((total, id, row) => {
      const at = (table: Float32Array, of: number): number => table[of * BERT.width + column] ?? Number.NaN
      return total + at(word, id) + at(place, row) + at(type, 0)
    }, 0),
  )
  const norm = Math.hypot(...sum)
  return Float32Array.from(sum, (value) => value / norm)
}

for (const pooling of ['mean', 'cls'] as const)
  test(
    `vectors of tokens become one by ${pooling}, the same alone and padded in a batch`,
    within(LIMIT_MS, async () => {
      const { load, tables } = bertLoad({ pooling })
      const { backend } = createHost()
      const model = await backend.load(load)
      assert.is(model.dimensions, BERT.width)
      assert.is(model.contextTokens, BERT.places)
      const together = await backend.embed(TEXTS, NEVER)
      for (const [index, text] of TEXTS.entries()) {
        const wanted = expected(await backend.tokenize(text, false), tables, pooling)
        const alone = await backend.embed([text], NEVER)
        assert.ok(distance(together.vectors[index], wanted) <= SAME_MAX, text)
        assert.ok(distance(alone.vectors[0], wanted) <= SAME_MAX, text)
      }
    }),
  )

test(
  'a text longer than the model reads is refused by its token count, special tokens included',
  within(LIMIT_MS, async () => {
    const { backend } = createHost()
    await backend.load(bertLoad().load)
    await backend.embed(['a '.repeat(BERT.places - 2)], NEVER)
    const failed = await failureOf(backend.embed(['a', 'a '.repeat(BERT.places - 1)], NEVER))
    assert.is(failed.code, 'CF_JOB_CONTEXT_EXCEEDED')
    assert.equal(failed.detail, { index: 1, tokens: BERT.places + 1, contextTokens: BERT.places })
  }),
)

test(
  'a model that gives something else is refused by its signature',
  within(LIMIT_MS, async () => {
    const { backend } = createHost()
    const failed = await failureOf(backend.load(bertLoad({}, 'logits').load))
    assert.is(failed.code, 'CF_MODEL_LOAD_FAILED')
    assert.is(failed.detail['reason'], 'signature_invalid')
  }),
)

test.after(closeHosts)
test.run()
