/** What is refused before anything is computed. */
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { FabricError } from '../../../core/errors.ts'
import type { GenerateRequest, LoadedModel, LoadRequest } from '../../../models/backend.ts'
import { checkGenerate, checkLoad } from '../../../models/requests.ts'
import { GREEDY, LLAMA, requestOf } from '../../support/ask-backend.ts'

const MODEL: LoadedModel = {
  ...{ digest: '', engineId: '', vocabSize: 100, contextTokens: 1_024, slotCount: 1, templateDigest: '' },
  ...{ toolFormat: 'none', driver: { kind: 'lockstep', reason: '' }, stopIds: [2], dimensions: 0 },
}

function fieldRefused(part: Partial<GenerateRequest>): unknown {
  try {
    checkGenerate({ ...requestOf(Uint32Array.of(1)), sampling: LLAMA, ...part }, MODEL)
    return undefined
  } catch (error) {
    return error instanceof FabricError && error.code === 'CF_JOB_INVALID' ? error.detail['field'] : error
  }
}

const biased = (logitBias: readonly (readonly [number, number])[]): Partial<GenerateRequest> => ({
  sampling: { ...LLAMA, logitBias },
})

test('biases are of tokens that exist, finite and within their bounds', () => {
  assert.is(
    fieldRefused(
      biased([
        [0, -100],
        [99, 100],
        [5, 0.5],
      ]),
    ),
    undefined,
  )
  const wrong: readonly (readonly [number, number])[] = [
    ...([
      [100, 1],
      [-1, 1],
      [1.5, 1],
      [Number.NaN, 1],
    ] as const),
    ...([
      [1, 100.5],
      [1, -101],
      [1, Number.NaN],
      [1, Number.NEGATIVE_INFINITY],
    ] as const),
  ]
  for (const bias of wrong) assert.is(fieldRefused(biased([bias])), 'logitBias', String(bias))
  const many = Array.from({ length: 301 }, (_, index) => [index % 100, 1] as const)
  assert.is(fieldRefused(biased(many)), 'logitBias')
  assert.is(fieldRefused(biased(many.slice(1))), undefined)
})

test('a grammar and a shared beginning are nothing for jobs that are checked', () => {
  assert.is(fieldRefused({ grammar: 'root ::= "a"', cacheKey: 'user/1', showControl: true }), undefined)
  assert.is(fieldRefused({ grammar: 'root ::= "a"', sampling: GREEDY }), 'grammar')
  assert.is(fieldRefused({ cacheKey: 'user/1', sampling: GREEDY }), 'cacheKey')
  assert.is(fieldRefused({ grammar: '', cacheKey: '', sampling: GREEDY }), undefined)
  assert.is(fieldRefused({ grammar: 'x'.repeat(65_537) }), 'grammar')
  assert.is(fieldRefused({ cacheKey: 'x'.repeat(257) }), 'cacheKey')
})

const LOAD: LoadRequest = {
  ...{ format: 'gguf', path: '/models/a.gguf', digest: 'ab'.repeat(32), contextTokens: 512, slotCount: 4, threads: 1 },
  ...{ memoryBytesMax: 1_000_000, gpu: 'off' },
}

/** @param part  as a caller without types might send it */
function loadRefused(part: Readonly<Record<string, unknown>>): unknown {
  try {
    checkLoad({ ...LOAD, ...part })
    return undefined
  } catch (error) {
    return error instanceof FabricError && error.code === 'CF_CONFIG_INVALID' ? error.detail['field'] : error
  }
}

test('what a load says of device, driver and memory is refused by name where it means nothing', () => {
  const good = {
    ...{ driver: 'native', libraries: '/elsewhere', gpu: 'cuda', gpuLayers: 0, vramBytesMax: 2 ** 34 },
    ...{ tensorSplit: [3, 1.5, 0], kvType: 'q8_0', flashAttention: true, cachedSequences: 8, pooling: 'cls' },
  }
  assert.is(loadRefused(good), undefined)
  assert.is(loadRefused({ gpuLayers: 'auto', flashAttention: false }), undefined)
  const wrong: Readonly<Record<string, readonly unknown[]>> = {
    ...{ format: ['pt', undefined], gpu: ['rocm', undefined], driver: ['fast'], pooling: ['max'], kvType: ['q4_0', 8] },
    ...{ flashAttention: ['on', 1], libraries: ['', 'lib', '../lib'], gpuLayers: [-1, 1.5, 1e9, '7', Number.NaN] },
    ...{ vramBytesMax: [-1, Number.NaN, Infinity], tensorSplit: [[-1], [Number.NaN], [Infinity], Array(65).fill(1)] },
    ...{ cachedSequences: [-1, 65, 0.5, '1'] },
  }
  for (const [field, values] of Object.entries(wrong))
    for (const value of values) assert.is(loadRefused({ [field]: value }), field, `${field} ${String(value)}`)
  assert.is(loadRefused({ kvType: 'q8_0', flashAttention: false }), 'kvType')
})

test.run()
