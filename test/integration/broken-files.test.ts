/** Files that llama.cpp cannot read, or that it ends the process over: a code each time, and the next good file works. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { suite } from 'uvu'
import * as assert from 'uvu/assert'
import type { LoadRequest } from '../../models/backend.ts'
import type { HostBackend } from '../../node/hosts/host-backend.ts'
import { answerOf, promptOf, requestOf } from '../support/ask-backend.ts'
import { brokenFile, loadOf } from '../support/broken-files.ts'
import { hasNativeEngine } from '../support/drivers.ts'
import { failureOf } from '../support/error-code.ts'
import { closeHosts, createHost, TINY_LOAD } from '../support/host.ts'
import { seededRandom, testSeed } from '../support/seeded-random.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const WHOLE = readFileSync(TINY_LOAD.path)
const DRIVER = hasNativeEngine() ? 'native' : 'lockstep'
const VARIANTS = 8
/** Eight hosts may die of one file, with pauses between them. */
const LOAD_MS_MAX = 30_000
/** Enough for what a runtime reserves and does not use, and for the model as it is. */
const ADDRESS_SPACE_KIB = 20_000_000
const CODES = new Set(['CF_MODEL_LOAD_FAILED', 'CF_MODEL_OUT_OF_MEMORY'])

const path = join(tempFolder(), 'model.gguf')
const test = suite<{ backend: HostBackend }>('broken files')

test.before(async (context) => {
  context.backend = createHost({ loadMs: LOAD_MS_MAX, backoffMinMs: 1 }).backend
  await context.backend.load({ ...TINY_LOAD, driver: DRIVER })
})
test.after(closeHosts)

/** Bytes of the same length in place of others. */
function replaced(from: string, to: string): Uint8Array {
  const bytes = Buffer.from(WHOLE)
  const at = bytes.indexOf(from)
  assert.ok(at > 0 && Buffer.byteLength(from) === Buffer.byteLength(to), from)
  bytes.write(to, at)
  return bytes
}

async function outcomeOf(backend: HostBackend, request: LoadRequest): Promise<string> {
  const { code, detail } = await failureOf(backend.load({ ...request, driver: DRIVER }))
  return [code, detail['reason'], detail['cause']].filter((part) => part !== undefined).join(' ')
}

async function answers(backend: HostBackend): Promise<string> {
  const prompt = await promptOf(backend)
  return (await answerOf(backend.generate(requestOf(prompt, 1, 8), AbortSignal.timeout(10_000)))).finish
}

test('an architecture that is not known is told from a broken file', ({ backend }) =>
  within(60_000, async () => {
    const bytes = Buffer.from(WHOLE)
    const named = bytes.indexOf('general.architecture') + 'general.architecture'.length + 4 + 8
    assert.is(bytes.toString('latin1', named, named + 5), 'llama')
    const fields = ['context_length', 'embedding_length', 'block_count', 'feed_forward_length']
    for (const at of [named, ...fields.map((field) => bytes.indexOf(`llama.${field}`))]) bytes.write('zebra', at)
    const outcome = await outcomeOf(backend, loadOf(bytes, path))
    assert.match(outcome, /^CF_MODEL_LOAD_FAILED engine_refused( architecture_unknown)?$/)
  })())

test('two tokens of one text, over which llama.cpp ends the process, are found before it does', ({ backend }) =>
  within(60_000, async () => {
    for (const text of ['<0x72>', '<unk>\0'])
      assert.is(
        await outcomeOf(backend, loadOf(replaced('<0x73>', text), path)),
        'CF_MODEL_LOAD_FAILED header_invalid',
        text,
      )
  })())

test('a header whose counts reach behind its end is refused at once', ({ backend }) =>
  within(60_000, async () => {
    const bytes = Buffer.from(WHOLE)
    const name = 'output_norm.weight'
    bytes.writeUInt32LE(0xffff_ffff, bytes.indexOf(name) + name.length)
    assert.is(await outcomeOf(backend, loadOf(bytes, path)), 'CF_MODEL_LOAD_FAILED header_invalid')
  })())

test('a model without a vocabulary, or without its shape, is refused', ({ backend }) =>
  within(60_000, async () => {
    for (const field of [
      'tokenizer.ggml.tokens',
      'llama.context_length',
      'llama.block_count',
      'llama.embedding_length',
    ]) {
      const outcome = await outcomeOf(backend, loadOf(replaced(field, field.replace(/.$/, '_')), path))
      assert.match(outcome, /^CF_MODEL_LOAD_FAILED (header_invalid|engine_refused)/, `${field}: ${outcome}`)
    }
  })())

test(`${VARIANTS} copies with cuts and turned bits load or are refused by a code, and the host answers after each`, ({
  backend,
}) =>
  within(200_000, async () => {
    const random = seededRandom(testSeed())
    const tally = new Map<string, number>()
    for (let index = 0; index < VARIANTS; index++) {
      const { name, bytes } = brokenFile(index, random)
      const { code } = await failureOf(backend.load({ ...loadOf(bytes, path), driver: DRIVER, contextTokens: 256 }))
      assert.ok(code === 'resolved' || CODES.has(code), `${name}: ${code}`)
      if (code === 'resolved') assert.match(await answers(backend), /^(stop|length)$/, name)
      tally.set(code, (tally.get(code) ?? 0) + 1)
    }
    console.log(JSON.stringify(Object.fromEntries(tally)))
    await backend.load({ ...TINY_LOAD, driver: DRIVER })
    assert.is(await answers(backend), 'length')
  })())

if (process.platform === 'linux' && DRIVER === 'native')
  test('memory that the system does not give is a code, and the next load works', () =>
    within(60_000, async () => {
      const child = fileURLToPath(new URL('./short-of-memory-child.ts', import.meta.url))
      const command = `ulimit -v ${ADDRESS_SPACE_KIB} && exec "$0" "$1"`
      const { stdout } = await promisify(execFile)('sh', ['-c', command, process.execPath, child])
      assert.is(stdout.trim(), 'CF_MODEL_OUT_OF_MEMORY length')
    })())

test.run()
