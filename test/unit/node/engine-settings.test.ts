/** Settings of the engine: what reaches the host, and what is refused before anything is loaded. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../core/errors.ts'
import { CFAB_TINY, USE_LITE } from '../../../models/catalogue.ts'
import { type Flags, loadConfig } from '../../../node/config.ts'
import { checkEngineSettings } from '../../../node/engine-checks.ts'
import { loadRequest } from '../../../node/load-request.ts'
import { startEntries } from '../../../node/model-choice.ts'
import { codeOf } from '../../support/error-code.ts'
import { tempFolder } from '../../support/temp-folder.ts'

const configOf = (flags: Flags = {}) =>
  loadConfig({ flags: { home: tempFolder(), threads: '3', ...flags }, env: {}, cwd: '/' })

test('what was asked for reaches the host; what was not is left to it', () => {
  const plain = loadRequest(configOf(), CFAB_TINY, 1_000)
  assert.equal(
    [plain.driver, plain.gpu, plain.gpuLayers, plain.kvType, plain.flashAttention, plain.cachedSequences],
    ['auto', 'off', 'auto', 'f16', true, 0],
  )
  assert.equal([plain.memoryBytesMax, plain.threads, plain.slotCount], [1_000, 3, 8])
  assert.not.ok('vramBytesMax' in plain || 'tensorSplit' in plain)
  const all = loadRequest(
    configOf({
      ...{ engine: 'native', gpu: 'cuda', gpuLayers: '20', maxVram: '6GiB', tensorSplit: '3,1', kvType: 'q8_0' },
      ...{ prefixCache: '4' },
    }),
    CFAB_TINY,
    1_000,
  )
  assert.equal(
    [all.driver, all.gpu, all.gpuLayers, all.vramBytesMax, all.tensorSplit, all.kvType, all.cachedSequences],
    ['native', 'cuda', 20, 6 * 2 ** 30, [3, 1], 'q8_0', 4],
  )
})

test('an embedding model runs on the processor as it always does, whatever the chat model has', () => {
  const flags = { gpu: 'cuda', gpuLayers: '20', kvType: 'q8_0', prefixCache: '4' }
  const request = loadRequest(configOf(flags), USE_LITE, 1_000)
  assert.equal([request.gpu, request.threads, request.gpuLayers, request.kvType], ['off', 1, undefined, undefined])
  assert.is(request.tokenizer?.digest, USE_LITE.tokenizer?.digest)
})

test('settings that make no sense together are refused by name', () => {
  const keyOf = (flags: Flags): unknown => {
    try {
      checkEngineSettings(configOf(flags))
      return undefined
    } catch (error) {
      if (!(error instanceof FabricError) || error.code !== 'CF_CONFIG_INVALID') throw error
      return error.detail['key']
    }
  }
  assert.is(keyOf({ gpuLayers: '20' }), 'gpu_layers')
  assert.is(keyOf({ gpuLayers: '0' }), undefined)
  assert.is(keyOf({ maxVram: '6GiB' }), 'max_vram')
  assert.is(keyOf({ tensorSplit: '1,1' }), 'tensor_split')
  assert.is(keyOf({ gpu: 'auto', tensorSplit: '1,1', maxVram: '1GB', gpuLayers: '3' }), undefined)
  assert.is(keyOf({ gpu: 'auto', engine: 'lockstep', tensorSplit: '1,1' }), 'tensor_split')
  assert.is(keyOf({ gpu: 'auto', engine: 'lockstep', maxVram: '1GB' }), 'max_vram')
  assert.is(keyOf({ engine: 'lockstep', prefixCache: '1' }), 'prefix_cache')
  assert.is(keyOf({ kvType: 'q8_0', flashAttention: 'off' }), 'kv_type')
  assert.is(keyOf({ kvType: 'q8_0' }), undefined)
})

test('there is room for the models of the start, or the node does not begin', async () => {
  assert.is(await codeOf(startEntries(configOf({ modelsMax: '1' }))), 'CF_CONFIG_INVALID')
  const alone = await startEntries(configOf({ modelsMax: '1', embeddingModel: 'none' }))
  assert.equal(
    alone.map(({ id }) => id),
    ['cfab-tiny'],
  )
})

test.run()
