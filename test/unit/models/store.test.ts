/** The catalogue's data, what fits a memory, headers, manifests and locks. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { CFAB_TINY, findModel } from '../../../models/catalogue.ts'
import { findKnown, KNOWN_MODELS } from '../../../models/catalogue-known.ts'
import { readModelFacts } from '../../../models/fetch/header.ts'
import { withLock } from '../../../models/fetch/lock.ts'
import { bytesOf, contextThatFits, suggestModel } from '../../../models/fits.ts'
import { installedModels, isModelId, modelPath, removeInstalled } from '../../../models/installed.ts'
import { verifyInstalled } from '../../../models/verify.ts'
import { describe, showProgress } from '../../../node/commands/progress.ts'
import { loadConfig } from '../../../node/config.ts'
import { chooseModel, suggestion } from '../../../node/model-choice.ts'
import { codeOf, failureOf } from '../../support/error-code.ts'
import { pullTo } from '../../support/pull.ts'
import { tempFolder } from '../../support/temp-folder.ts'
import { within } from '../../support/within.ts'

const LIMIT_MS = 30_000
const GIB = 1_073_741_824
const TINY = CFAB_TINY.path
const SMALL = TINY.replace('q8_0', 'q4_0')

test('the catalogue is well formed: ids, digests, sources, order', () => {
  const ids = KNOWN_MODELS.map(({ id }) => id)
  assert.equal(
    ids.filter((id, index) => !isModelId(id) || ids.indexOf(id) !== index || findModel(id)),
    [],
  )
  for (const { id, digest, source, licence, bytes } of KNOWN_MODELS) {
    assert.match(digest ?? '0'.repeat(64), /^[0-9a-f]{64}$/, id)
    assert.match(source, /^hf:[\w.-]+\/[\w.-]+\/[\w./-]+\.(?:gguf|onnx)(?:@[0-9a-f]{40})?$/, id)
    assert.ok(licence !== '' && (bytes === undefined || bytes > 1e6), id)
  }
  const chats = KNOWN_MODELS.filter(({ task }) => task === 'chat')
  assert.equal(
    chats,
    chats.toSorted((a, b) => bytesOf(a) - bytesOf(b)),
    'smallest first',
  )
  assert.is(findKnown('__proto__'), undefined)
})

test('what is suggested grows with the memory, is pinned, and is nothing where nothing fits', () => {
  const suggested = [0.5, 1, 2, 4, 8, 32].map((gib) => suggestModel(8, gib * GIB))
  const sizes = suggested.map((model) => model?.bytes ?? 0)
  assert.equal(
    sizes,
    sizes.toSorted((a, b) => a - b),
  )
  assert.equal([suggested[0], suggested.at(-1)?.id], [undefined, 'mistral-7b'])
  for (const model of suggested.slice(1)) assert.ok(model?.digest !== undefined || model === undefined)
})

test('a context shrinks until it fits, and never below what is of use', () => {
  const need = {
    bytes: GIB,
    contextTokens: 32_768,
    shape: { keyValueBytes: 131_072, activationBytes: 0, isEncoder: false },
  }
  assert.is(contextThatFits(need, 1, 8 * GIB), 8_192)
  assert.is(contextThatFits(need, 8, 4 * GIB), 2_048)
  assert.is(contextThatFits(need, 8, GIB), undefined)
  assert.is(contextThatFits({ ...need, contextTokens: 512 }, 1, 8 * GIB), 512)
})

test(
  'a header says what the bundled catalogue says',
  within(LIMIT_MS, async () => {
    const { megaParams, parameters, contextTokens, templateDigest, quantisation, licence } = await readModelFacts(
      TINY,
      CFAB_TINY.bytes,
    )
    const { megaParams: mega, parameters: count, contextTokens: context, templateDigest: template } = CFAB_TINY
    assert.equal([megaParams, parameters, contextTokens, templateDigest], [mega, count, context, template])
    assert.equal([quantisation, licence], ['Q8_0', 'Apache-2.0'])
  }),
)

function patched(change: (bytes: Buffer) => void): string {
  const bytes = readFileSync(SMALL)
  change(bytes)
  const path = join(tempFolder(), 'x.gguf')
  writeFileSync(path, bytes)
  return path
}
const HOSTILE: readonly (readonly [name: string, path: string, reason: string])[] = [
  ['no GGUF', patched((bytes) => bytes.write('GGML')), 'not_gguf'],
  ['a version of the future', patched((bytes) => bytes.writeUInt32LE(9, 4)), 'version_unknown'],
  ['more tensors than a model has', patched((bytes) => bytes.writeBigUInt64LE(2n ** 40n, 8)), 'header_invalid'],
  ['more fields than a header has', patched((bytes) => bytes.writeBigUInt64LE(2n ** 60n, 16)), 'header_invalid'],
  ['a text that ends behind the file', patched((bytes) => bytes.writeBigUInt64LE(2n ** 50n, 24)), 'header_invalid'],
  [
    'an architecture that does not chat',
    patched((bytes) => void bytes.write('bertx', bytes.indexOf('llama', 40))),
    'neither_chats_nor_embeds',
  ],
]
for (const [name, path, reason] of HOSTILE) {
  test(
    `a file with ${name} is refused`,
    within(LIMIT_MS, async () => {
      const failure = await failureOf(readModelFacts(path, 1_000_000_000))
      assert.is(failure.code, 'CF_MODEL_FORMAT_INVALID')
      assert.is(failure.detail['reason'], reason)
    }),
  )
}

test(
  'a pulled model is served, verified and removed; a file with two names goes with the second',
  within(LIMIT_MS, async () => {
    const home = tempFolder()
    const config = (model: string) => loadConfig({ flags: { home, model }, env: {}, cwd: home })
    const folder = config('a').paths.models
    assert.is(await codeOf(chooseModel(config('a'))), 'CF_MODEL_UNKNOWN')
    assert.match(
      await suggestion(config('cfab-tiny'), ' --home x'),
      /^$|^this machine fits \S+ \(.+ GB\): .+ pull \S+ --home x$/,
    )
    const { manifest } = await pullTo(folder, { model: SMALL, as: 'a' })
    await pullTo(folder, { model: SMALL, as: 'b' })
    const entry = await chooseModel(config('a'))
    assert.equal(
      [entry.id, entry.path, entry.digest, entry.contextTokens, entry.megaParams, entry.task],
      ['a', modelPath(folder, manifest), manifest.digest, 1_024, 3, 'chat'],
    )
    assert.is(await suggestion(config('cfab-tiny'), ''), '', 'who has pulled a model needs no suggestion')
    assert.is(await removeInstalled(folder, 'a'), 0)
    assert.ok(existsSync(entry.path))
    assert.is(await removeInstalled(folder, 'b'), manifest.bytes)
    assert.not.ok(existsSync(entry.path))
    assert.is(await codeOf(removeInstalled(folder, 'b')), 'CF_MODEL_UNKNOWN')
  }),
)

test(
  'verification finds a changed byte, a missing file and a manifest that is not one',
  within(LIMIT_MS, async () => {
    const folder = join(tempFolder(), 'models')
    const { manifest } = await pullTo(folder, { model: SMALL, as: 'a' })
    const path = modelPath(folder, manifest)
    assert.equal(await verifyInstalled(folder, manifest), { id: 'a' })
    const bytes = readFileSync(path)
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1
    writeFileSync(path, bytes)
    assert.is((await verifyInstalled(folder, manifest)).code, 'CF_MODEL_DIGEST_MISMATCH')
    writeFileSync(path, bytes.subarray(1))
    assert.is((await verifyInstalled(folder, { ...manifest, digest: '0'.repeat(64) })).reason, 'file_missing')
    for (const text of [
      '',
      '{}',
      JSON.stringify({ ...manifest, id: 'b' }),
      JSON.stringify({ ...manifest, digest: '../x' }),
    ])
      writeFileSync(join(folder, 'a.json'), text)
    assert.equal(await installedModels(folder), { manifests: [], damaged: ['a'] })
  }),
)

const HOLDER = `
const { withLock } = await import(process.argv[1])
await withLock(process.argv[2], 0, async () => { console.log('held'); await new Promise((resolve) => setTimeout(resolve, 30_000)) })
`

test(
  'a lock names its holder, and goes with it when it is killed',
  within(LIMIT_MS, async () => {
    const path = join(tempFolder(), 'x.lock')
    const lock = new URL('../../../models/fetch/lock.ts', import.meta.url).href
    const child = spawn(process.execPath, ['--input-type=module', '-e', HOLDER, lock, path], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    try {
      await once(child.stdout, 'data')
      const failure = await failureOf(withLock(path, 0, async () => undefined))
      assert.equal([failure.code, failure.detail['pid']], ['CF_MODEL_PULL_BUSY', child.pid])
      child.kill('SIGKILL')
      await once(child, 'exit')
      assert.is(await withLock(path, 1_000, async () => 'mine'), 'mine')
    } finally {
      child.kill('SIGKILL')
    }
  }),
)

test('progress says how far, how fast and how long', () => {
  assert.is(describe(250e6, 1e9, 5e6), '[######..................] 25%  250.0 MB of 1.00 GB  5.0 MB/s  2 min 30 s left')
  assert.is(describe(1e9, 1e9, 5e6), `[${'#'.repeat(24)}] 100%  1.00 GB of 1.00 GB  5.0 MB/s`)
  assert.is(describe(5_000, undefined, 0), '5.0 kB')
})

test('progress writes one line over on a terminal, and whole lines without control characters elsewhere', () => {
  for (const isTerminal of [true, false]) {
    const parts: string[] = []
    const io = { out: String, err: (part: string) => void parts.push(part), env: {}, cwd: '/', isTerminal }
    const progress = showProgress({ ...io, readInput: () => null, onStop: () => () => undefined })
    progress.onEvent({ type: 'bytes', done: 10, total: 10 })
    progress.onEvent({ type: 'retry', reason: 'cut', waitMs: 500, fruitless: 1 })
    progress.onEvent({ type: 'bytes', done: 10, total: 10 })
    progress.end()
    const bar = `[${'#'.repeat(24)}] 100%  0.0 kB of 0.0 kB`
    const note = 'the source ended too early; next attempt in 0.5 s\n'
    assert.is(parts.join(''), isTerminal ? `\r${bar}\n${note}\r${bar}\n` : `${bar}\n${note}${bar}\n`)
  }
})

test.run()
