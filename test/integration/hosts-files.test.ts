/** Model files that are not what they should be, and models that are not what they claim to be. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { AuditPosition, GenerateRequest } from '../../models/backend.ts'
import { CATALOGUE } from '../../models/catalogue.ts'
import { fileDigest } from '../../models/model-file.ts'
import type { HostBackend } from '../../node/hosts/host-backend.ts'
import { answerOf, NEVER, promptOf } from '../support/ask-backend.ts'
import { failureOf } from '../support/error-code.ts'
import { closeHosts, createHost, TINY_LOAD } from '../support/host.ts'
import { tempFolder } from '../support/temp-folder.ts'
import { within } from '../support/within.ts'

const WHOLE = readFileSync(TINY_LOAD.path)
const TENSOR_COUNT_AT = 8
const METADATA_COUNT_AT = 16

/** Loads these bytes under their own digest: only the engine can find fault with them. */
async function loadBytes(bytes: Uint8Array): Promise<string> {
  const path = join(tempFolder(), 'model.gguf')
  writeFileSync(path, bytes)
  const { backend } = createHost()
  const { code, detail } = await failureOf(backend.load({ ...TINY_LOAD, path, digest: await fileDigest(path) }))
  await backend.close()
  return `${code} ${detail['reason']}`
}

function patched(at: number, value: bigint): Uint8Array {
  const bytes = Buffer.from(WHOLE)
  bytes.writeBigUInt64LE(value, at)
  return bytes
}

test(
  'a file that is cut short, empty or something else does not load and does not kill the daemon',
  within(60_000, async () => {
    assert.is(await loadBytes(WHOLE.subarray(0, 2_000_000)), 'CF_MODEL_LOAD_FAILED engine_refused')
    assert.match(await loadBytes(WHOLE.subarray(0, 20_000)), /^CF_MODEL_LOAD_FAILED/)
    assert.match(await loadBytes(WHOLE.subarray(0, 30)), /^CF_MODEL_LOAD_FAILED/)
    assert.is(await loadBytes(new Uint8Array()), 'CF_MODEL_LOAD_FAILED header_invalid')
    assert.is(await loadBytes(Buffer.from('<html>not found</html>')), 'CF_MODEL_LOAD_FAILED header_invalid')
  }),
)

test(
  'a header that promises more than there can be does not load',
  within(30_000, async () => {
    assert.is(await loadBytes(patched(TENSOR_COUNT_AT, 2n ** 46n)), 'CF_MODEL_LOAD_FAILED header_invalid')
    assert.is(await loadBytes(patched(METADATA_COUNT_AT, 2n ** 31n)), 'CF_MODEL_LOAD_FAILED header_invalid')
  }),
)

test(
  'one changed byte is another model',
  within(10_000, async () => {
    const path = join(tempFolder(), 'model.gguf')
    const bytes = Buffer.from(WHOLE)
    bytes.writeUInt8(bytes.readUInt8(2_000_000) ^ 1, 2_000_000)
    writeFileSync(path, bytes)
    const { backend } = createHost()
    assert.is((await failureOf(backend.load({ ...TINY_LOAD, path }))).code, 'CF_MODEL_DIGEST_MISMATCH')
    await backend.close()
  }),
)

test(
  'a model over the memory budget says what it needs',
  within(10_000, async () => {
    const { backend } = createHost()
    const { code, detail } = await failureOf(backend.load({ ...TINY_LOAD, memoryBytesMax: 50_000_000 }))
    assert.is(code, 'CF_MODEL_OUT_OF_MEMORY')
    assert.ok(Number(detail['bytes']) > 50_000_000 && Number(detail['bytes']) < 400_000_000)
    await backend.close()
  }),
)

test(
  'a device that is not there is refused, never silently replaced',
  within(10_000, async () => {
    const absent = process.platform === 'darwin' ? 'cuda' : 'metal'
    const { backend } = createHost()
    const { code, detail } = await failureOf(backend.load({ ...TINY_LOAD, gpu: absent }))
    assert.is(`${code} ${detail['reason']}`, 'CF_MODEL_LOAD_FAILED device_absent')
    await backend.close()
  }),
)

test(
  'the catalogue is true of its files',
  within(20_000, async () => {
    for (const entry of CATALOGUE) {
      const bytes = readFileSync(entry.path)
      assert.is(bytes.length, entry.bytes)
      assert.is(await fileDigest(entry.path), entry.digest)
      const { backend } = createHost()
      const model = await backend.load({
        ...TINY_LOAD,
        format: entry.format,
        path: entry.path,
        digest: entry.digest,
        contextTokens: 1_000_000 / 4,
        ...(entry.tokenizer === undefined ? {} : { tokenizer: entry.tokenizer }),
      })
      assert.is(model.dimensions, entry.dimensions)
      assert.is(model.templateDigest, entry.templateDigest)
      assert.is(model.contextTokens, entry.contextTokens)
      await backend.close()
    }
  }),
)

async function meanMarginUnder(judge: HostBackend, request: GenerateRequest, ids: readonly number[]): Promise<number> {
  const chunks = judge.schedule(request.promptIds.length)
  const positions: readonly AuditPosition[] = await judge.audit(
    { ...request, outputIds: Uint32Array.from(ids), chunks },
    NEVER,
  )
  return positions.reduce((sum, { margin }) => sum + margin, 0) / positions.length
}

test(
  'an audit tells the model from a smaller one and from a coarser one',
  within(60_000, async () => {
    const { backend: judge } = createHost()
    await judge.load(TINY_LOAD)
    const sampling = { kind: 'gumbel-v1', temperatureMilli: 1_000, topK: 40 } as const
    const promptIds = await promptOf(judge, [{ role: 'user', content: 'Tell me a short story about a fox.' }])
    const requests = [1, 2, 3, 4].map((seed) => ({
      promptIds,
      sampling,
      seed: new Uint8Array(32).fill(seed),
      maxTokens: 120,
      stop: [],
    }))
    const meanOf = async (file: string): Promise<number> => {
      const path = fileURLToPath(new URL(`../../models/data/${file}`, import.meta.url))
      const { backend: worker } = createHost()
      await worker.load({ ...TINY_LOAD, path, digest: await fileDigest(path) })
      const answers = await Promise.all(requests.map((request) => answerOf(worker.generate(request, NEVER))))
      await worker.close()
      const means = await Promise.all(
        requests.map((request, index) => meanMarginUnder(judge, request, answers[index]?.ids ?? [])),
      )
      return means.reduce((sum, mean) => sum + mean, 0) / means.length
    }
    assert.is(await meanOf('cfab-tiny-q8_0.gguf'), 0)
    const [coarser, smaller] = [await meanOf('cfab-tiny-q4_0.gguf'), await meanOf('cfab-tiny-small-f16.gguf')]
    assert.ok(coarser > 0.005, `q4_0: ${coarser}`)
    assert.ok(smaller > coarser, `small: ${smaller}`)
    await judge.close()
  }),
)

test.after(closeHosts)
test.run()
