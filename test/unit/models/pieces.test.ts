/** The bytes of tokens, against llama.cpp's tokenizer: what a text is cut into makes up the text again. */
import { join } from 'node:path'
import { getLlama, readGgufFileInfo } from 'node-llama-cpp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { createPieces, detokenizeFrom } from '../../../models/pieces.ts'
import { llamaSource } from '../../support/llama-source.ts'
import { missing } from '../../support/missing.ts'
import { within } from '../../support/within.ts'

const READ = { sourceType: 'filesystem', logWarnings: false } as const
const TINY = join(import.meta.dirname, '../../../models/data/cfab-tiny-q8_0.gguf')
const TEXTS = [
  'Hello world',
  "it's , a test ! don't",
  'Zeilen\n\n  und\tTabs ',
  '日本語 ÄÖÜ 👩‍👩‍👧‍👦 \u0301',
  '{"a": [1, 2.5e3]}',
  String.fromCodePoint(0x10ffc0, 0xa0, 0xad, 0x7f),
]
/** Some vocabularies put a space before the first word. */
const withoutLead = (text: string): string => text.replace(/^ /, '')

const source = llamaSource()
const vocabularies = ['llama-bpe', 'qwen2', 'llama-spm', 'phi-3', 'gemma-4', 'falcon', 'deepseek-llm', 'command-r']
const files: readonly (readonly [string, () => string])[] = [
  ['cfab-tiny', () => TINY],
  ...(source === undefined
    ? []
    : vocabularies.map((name) => [name, () => source.file(`models/ggml-vocab-${name}.gguf`)] as const)),
]

for (const [name, file] of files)
  test(
    `${name}: the pieces of a text's tokens make up the text`,
    within(60_000, async () => {
      const info = await readGgufFileInfo(file(), READ)
      const detokenize = detokenizeFrom(createPieces(info) ?? missing('pieces'))
      const llama = await getLlama({
        gpu: false,
        build: 'never',
        skipDownload: true,
        progressLogs: false,
        maxThreads: 1,
      })
      const model = await llama.loadModel({ modelPath: file(), vocabOnly: true })
      for (const text of TEXTS)
        assert.is(withoutLead(detokenize(model.tokenize(text, false), [], false)), withoutLead(text))
      const { eos } = model.tokens
      assert.ok(eos !== null)
      assert.is(detokenize([eos], [], false), '')
      assert.is(detokenize([eos], [], true), model.tokens.eosString)
      await model.dispose()
    }),
  )

if (source !== undefined)
  test(
    'a vocabulary of a kind that is not known has no pieces',
    within(20_000, async () => {
      const info = await readGgufFileInfo(source.file('models/ggml-vocab-bert-bge.gguf'), READ)
      assert.is(createPieces(info), undefined)
    }),
  )

test.run()
