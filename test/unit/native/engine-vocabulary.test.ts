import { spawnSync } from 'node:child_process'
import { existsSync, globSync } from 'node:fs'
import { basename, join } from 'node:path'
import { getLlama, type LlamaModel } from 'node-llama-cpp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { NATIVE_FOLDER } from '../../../native/stamp.ts'
import { buildEngineTests, type EngineTests } from '../../support/engine-tests.ts'
import { type SeededRandom, seededRandom, testSeed } from '../../support/seeded-random.ts'
import { within } from '../../support/within.ts'

const ROOT = join(NATIVE_FOLDER, '..')
const LIMIT_MS = 60_000
const TEXTS = 60
const PIECES_MAX = 24
/** First code points of rows from many scripts. */
const STARTS = [0x20, 0x41, 0xc0, 0x370, 0x5d0, 0x900, 0x3040, 0x4e00, 0xac00, 0x1f300, 0x1f468, 0xe000, 0x10ffc0]
const FRAGMENTS = [
  ...[
    '',
    ' ',
    '  ',
    '\n',
    '\r\n',
    '\t',
    '\0',
    '\u200b',
    '\u00a0',
    '\u0301',
    '\ufeff',
    '\ufffd',
    '▁',
    '▁▁',
    "'s",
    "'LL",
  ],
  ...[
    'Once upon a time',
    'ÄÖÜ',
    'don’t',
    '123456789',
    '3.14',
    '{"a":[1,2]}',
    'a'.repeat(70),
    '=='.repeat(40),
    '日本語',
    'ﬁ',
  ],
  ...[
    '<s>',
    '</s>',
    '<unk>',
    '<|im_start|>',
    '<|im_end|>',
    '<|endoftext|>',
    '<|begin_of_text|>',
    '[CLS]',
    '<bos>',
    '<0x41>',
  ],
  ...['👩‍👩‍👧‍👦', '🇩🇪', '👍🏽', 'z\u0327\u0301\u0300', 'مرحبا', 'שלום', 'हिन्दी', 'ไทย', '한국어'],
]

function randomText(random: SeededRandom): string {
  const count = random.below(PIECES_MAX)
  return Array.from({ length: count }, () => {
    const start = STARTS[random.below(STARTS.length)]
    const fragment = FRAGMENTS[random.below(FRAGMENTS.length)] ?? ''
    return random.below(2) === 0 || start === undefined ? fragment : String.fromCodePoint(start + random.below(64))
  }).join('')
}

/** As models/llama.ts tokenizes. */
function tokenize(model: LlamaModel, text: string, parseSpecial: boolean): readonly number[] {
  const ids = model.tokenize(text, parseSpecial)
  const { bos, shouldPrependBosToken } = model.tokens
  const isMissing = parseSpecial && shouldPrependBosToken && bos !== null && ids[0] !== bos
  return isMissing ? [bos, ...ids] : ids
}

/** Asks the engine; @returns a line for each request */
function ask(tests: EngineTests, model: string, requests: readonly string[]): readonly string[] {
  const { stdout, status, stderr } = spawnSync(tests.binary, ['--answer'], {
    input: `${requests.join('\n')}\n`,
    encoding: 'utf8',
    timeout: LIMIT_MS,
    maxBuffer: 1 << 28,
    env: { ...tests.env, CFAB_TEST_MODEL: model },
  })
  assert.is(status, 0, stderr)
  return stdout.trimEnd().split('\n')
}

function hex(text: string): string {
  return Buffer.from(text).toString('hex')
}

function models({ vocabularies }: EngineTests): readonly string[] {
  const bundled = globSync(join(ROOT, 'models', 'data', '*.gguf'))
  const shared = join(ROOT, '..', 'shared', 'models', 'tests', 'stories260K-f32.gguf')
  const others = globSync(join(vocabularies, '*.gguf'))
  if (others.length === 0) console.log('skipped the vocabularies of others: they cannot be unpacked')
  return [...bundled, shared, ...others].filter((file) => existsSync(file)).sort()
}

async function compare(tests: EngineTests, llama: Awaited<ReturnType<typeof getLlama>>, file: string, seed: number) {
  const model = await llama.loadModel({ modelPath: file, vocabOnly: true })
  try {
    const random = seededRandom(seed)
    const texts = ['', ...FRAGMENTS, ...Array.from({ length: TEXTS }, () => randomText(random))].map((text) =>
      text.toWellFormed(),
    )
    const [facts, ...answers] = ask(tests, file, [
      'facts',
      ...texts.flatMap((text) => [`plain ${hex(text)}`, `special ${hex(text)}`]),
    ])
    const all = [...model.iterateAllTokens()]
    const [vocabSize, , ...stopIds] = (facts ?? '').split(' ').map(Number)
    assert.is(vocabSize, all.length)
    assert.equal(
      stopIds,
      all.filter((id) => model.isEogToken(id)),
      'the ids that stop',
    )
    const wanted = texts.flatMap((text) => [
      tokenize(model, text, false).join(' '),
      tokenize(model, text, true).join(' '),
    ])
    for (const [index, ids] of wanted.entries()) assert.is(answers[index] ?? '', ids, JSON.stringify(texts[index >> 1]))
  } finally {
    await model.dispose()
  }
}

const built = buildEngineTests()
if ('reason' in built) {
  console.log(`skipped, there are no engine tests: ${built.reason}`)
  test('without a compiler there is nothing to compare', () => assert.ok(built.reason))
} else {
  const seed = testSeed()
  const llama = await getLlama({ gpu: false, build: 'never', skipDownload: true, progressLogs: false, maxThreads: 1 })
  for (const file of models(built))
    test(
      `text of ${basename(file)} becomes the ids that node-llama-cpp gives`,
      within(LIMIT_MS, () => compare(built, llama, file, seed)),
    )

  // Such models split text by regular expressions of the C++ library, which recurse once for each character.
  for (const name of ['deepseek-llm', 'deepseek-coder', 'falcon', 'gpt-neox'])
    test(`a long text without a space does not end the process of ${name}`, () => {
      const file = join(built.vocabularies, `ggml-vocab-${name}.gguf`)
      if (!existsSync(file)) return
      for (const letter of ['a', '1', '!', '日']) {
        const [ids] = ask(built, file, [`plain ${hex(letter.repeat(100_000))}`])
        assert.ok((ids ?? '').split(' ').length > 1_000)
      }
    })
}

test.run()
