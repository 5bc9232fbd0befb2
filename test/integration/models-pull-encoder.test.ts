/** Encoders: an ONNX one is pulled with its vocabulary, a GGUF one alone; tried once, and served, verified and removed like any model. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readModelFacts } from '../../models/fetch/header.ts'
import { parseSource, tokenizerSource } from '../../models/fetch/source.ts'
import { removeInstalled } from '../../models/installed.ts'
import { verifyInstalled } from '../../models/verify.ts'
import { loadConfig } from '../../node/config.ts'
import { chooseModel } from '../../node/model-choice.ts'
import { NEVER } from '../support/ask-backend.ts'
import { failureOf } from '../support/error-code.ts'
import { GGUF_BERT, ggufBertLoad } from '../support/gguf-bert.ts'
import { GGUF_POOLING, ggufEncoderLoad } from '../support/gguf-file.ts'
import { closeHosts, createHost, TINY_LOAD, USE_LOAD } from '../support/host.ts'
import { BERT, writeBert } from '../support/onnx-file.ts'
import { pullTo } from '../support/pull.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'
import { wordPieceFile } from '../support/word-pieces.ts'

const LIMIT_MS = 30_000

/** A repository as hubs lay it out. @returns the model's path */
function repository(): string {
  const root = tempFolder()
  mkdirSync(join(root, 'onnx'))
  const path = join(root, 'onnx', 'Small-Encoder.onnx')
  writeBert(path)
  writeFileSync(join(root, 'tokenizer.json'), wordPieceFile())
  return path
}

test(
  'it is installed under its file name, with what opening it has shown, and computes vectors',
  within(LIMIT_MS, async () => {
    const home = tempFolder()
    const config = loadConfig({ flags: { home, model: 'small-encoder' }, env: {}, cwd: home })
    const folder = config.paths.models
    const { manifest } = await pullTo(folder, { model: repository(), pooling: 'cls' })
    assert.is(manifest.id, 'small-encoder')
    assert.equal(
      [manifest.task, manifest.format, manifest.dimensions, manifest.contextTokens],
      ['embedding', 'onnx', BERT.width, BERT.places],
    )
    const { tokenizer, pooling, ...entry } = await chooseModel(config)
    assert.is(pooling, 'cls')
    assert.ok(tokenizer !== undefined && pooling !== undefined)
    const { backend } = createHost()
    await backend.load({ ...USE_LOAD, path: entry.path, digest: entry.digest, tokenizer, pooling })
    const { vectors } = await backend.embed(['A red kite.'], NEVER)
    assert.is(vectors[0]?.length, BERT.width)
  }),
)

test(
  'each of its files is verified, and both are removed unless another model has them',
  within(LIMIT_MS, async () => {
    const folder = join(tempFolder(), 'models')
    const path = repository()
    const { manifest } = await pullTo(folder, { model: path, as: 'a' })
    await pullTo(folder, { model: path, as: 'b' })
    assert.equal(await verifyInstalled(folder, manifest), { id: 'a' })
    const vocabulary = join(folder, `${manifest.templateDigest}.tokenizer`)
    const text = readFileSync(vocabulary, 'utf8')
    writeFileSync(vocabulary, text.replace('kite', 'Kite'))
    assert.is((await verifyInstalled(folder, manifest)).code, 'CF_MODEL_DIGEST_MISMATCH')
    writeFileSync(vocabulary, text)
    assert.is(await removeInstalled(folder, 'a'), 0)
    assert.ok(existsSync(vocabulary))
    assert.is(await removeInstalled(folder, 'b'), manifest.bytes + Buffer.byteLength(text))
    assert.equal(
      readdirSync(folder).filter((name) => name !== 'partial'),
      [],
    )
  }),
)

const WRONG: readonly (readonly [what: string, change: (path: string) => void, reason: string])[] = [
  ['a model that gives something else', (path) => void writeBert(path, 'logits'), 'signature_invalid'],
  ['a page in place of the model', (path) => writeFileSync(path, '<html>not found</html>'), 'not_onnx'],
  ['a model that was cut', (path) => writeFileSync(path, readFileSync(path).subarray(0, 400)), 'engine_refused'],
  [
    'a vocabulary that is none',
    (path) => writeFileSync(join(dirname(path), '..', 'tokenizer.json'), '{"a":1}'),
    'tokenizer_invalid',
  ],
  [
    'a vocabulary with more ids than the model has',
    (path) => {
      const file = JSON.parse(wordPieceFile())
      file.model.vocab.surplus = BERT.vocabulary
      writeFileSync(join(dirname(path), '..', 'tokenizer.json'), JSON.stringify(file))
    },
    'probe_failed',
  ],
]

for (const [what, change, reason] of WRONG)
  test(
    `${what} is refused before it is in its place`,
    within(LIMIT_MS, async () => {
      const folder = join(tempFolder(), 'models')
      const path = repository()
      change(path)
      const failed = await failureOf(pullTo(folder, { model: path, as: 'a' }))
      assert.equal([failed.code, failed.detail['reason']], ['CF_MODEL_FORMAT_INVALID', reason])
      assert.equal(
        readdirSync(folder).filter((name) => name.endsWith('.json') || name.endsWith('.onnx')),
        [],
      )
    }),
  )

test(
  'a GGUF that pools is an encoder: its file alone is installed, verified and served',
  within(LIMIT_MS, async () => {
    const home = tempFolder()
    const config = loadConfig({ flags: { home, model: 'gguf-encoder' }, env: {}, cwd: home })
    const folder = config.paths.models
    const path = join(home, 'GGUF-Encoder.gguf')
    const { digest } = ggufBertLoad(path)
    const { manifest } = await pullTo(folder, { model: path })
    const { id, task, format, dimensions, contextTokens, templateDigest, licence } = manifest
    assert.equal([id, task, format, licence], ['gguf-encoder', 'embedding', 'gguf', 'Apache-2.0'])
    assert.equal([dimensions, contextTokens, templateDigest], [GGUF_BERT.width, GGUF_BERT.places, digest])
    assert.equal(await verifyInstalled(folder, manifest), { id })
    const { tokenizer, pooling, ...entry } = await chooseModel(config)
    assert.equal([tokenizer, pooling, entry.contextTokens], [undefined, undefined, GGUF_BERT.places])
    const { backend } = createHost()
    const model = await backend.load({ ...TINY_LOAD, path: entry.path, digest: entry.digest })
    assert.equal([model.dimensions, model.templateDigest], [entry.dimensions, entry.templateDigest])
    assert.is(await removeInstalled(folder, id), manifest.bytes)
  }),
)

for (const [pooling, outcome] of [
  ['none', 'chat'],
  ['mean', 'embedding'],
  ['last', 'embedding'],
  ['rank', 'neither_chats_nor_embeds'],
] as const)
  test(
    `a causal GGUF whose pooling is ${pooling}: ${outcome}`,
    within(LIMIT_MS, async () => {
      const folder = tempFolder()
      const path = join(folder, 'm.gguf')
      ggufEncoderLoad(path, GGUF_POOLING[pooling])
      const facts = readModelFacts(path, statSync(path).size)
      const { detail } = await failureOf(facts)
      const task = detail['reason'] ?? ((await facts).dimensions > 0 ? 'embedding' : 'chat')
      assert.is(task, outcome)
    }),
  )

test(
  'what only an ONNX file needs is refused with another',
  within(LIMIT_MS, async () => {
    const folder = tempFolder()
    for (const flag of [{ pooling: 'mean' }, { tokenizer: 'tokenizer.json' }] as const)
      assert.is(
        (await failureOf(pullTo(folder, { model: TINY_LOAD.path, as: 'a', ...flag }))).code,
        'CF_CONFIG_INVALID',
      )
  }),
)

test(
  'a BERT that does not say how it pools, or that ranks, is refused',
  within(LIMIT_MS, async () => {
    const folder = tempFolder()
    for (const pooling of ['none', 'rank'] as const) {
      const path = join(folder, `${pooling}.gguf`)
      ggufBertLoad(path, pooling)
      const failed = await failureOf(pullTo(folder, { model: path }))
      assert.equal([failed.code, failed.detail['reason']], ['CF_MODEL_FORMAT_INVALID', 'neither_chats_nor_embeds'])
    }
  }),
)

test(
  'a vocabulary elsewhere is named; one that is not there is said to be missing',
  within(LIMIT_MS, async () => {
    const folder = join(tempFolder(), 'models')
    const [path, lonely] = [repository(), join(tempFolder(), 'm.onnx')]
    copyFileSync(path, lonely)
    assert.is((await failureOf(pullTo(folder, { model: lonely }))).code, 'CF_MODEL_SOURCE_MISSING')
    const tokenizer = join(dirname(path), '..', 'tokenizer.json')
    assert.is((await pullTo(folder, { model: lonely, tokenizer })).manifest.id, 'm')
  }),
)

test('a hub keeps the vocabulary at the root of the repository, in the same revision', () => {
  const source = parseSource('hf:a/b/onnx/model.onnx@1234', { HF_ENDPOINT: 'https://hub.example/x' }, '/')
  assert.ok(source?.kind === 'web')
  const vocabulary = tokenizerSource(source)
  assert.ok(vocabulary.kind === 'web')
  assert.is(vocabulary.url.href, 'https://hub.example/x/a/b/resolve/1234/tokenizer.json')
  const bare = parseSource('https://files.example/m/encoder.onnx?key=secret', {}, '/')
  assert.ok(bare !== undefined)
  assert.is(tokenizerSource(bare).label, 'https://files.example/m/tokenizer.json')
})

test.after(closeHosts)
test.run()
