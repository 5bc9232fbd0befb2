/** What every backend refuses before it computes anything: a token id out of range would abort the engine's process. */
import { isAbsolute } from 'node:path'
import { FabricError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type {
  AuditRequest,
  DetokenizeRequest,
  GenerateRequest,
  LoadedModel,
  LoadRequest,
  SamplingSpec,
} from './backend.ts'
import { PROMPT_CHUNK_TOKENS } from './schedule.ts'

const SHA256_HEX = /^[0-9a-f]{64}$/
const KERNELS = /^[a-z0-9._]{1,32}$/
const SEED_BYTES = 32
/** Either way, as the OpenAI API has it. */
const PENALTY_MAX = 2
const CONTEXT_TOKENS_MIN = 64
const CACHE_KEY_BYTES_MAX = 256
const U32_MAX = 2 ** 32 - 1

export const SLOT_COUNT_MAX = 64
export const THREAD_COUNT_MAX = 256
const LAYERS_MAX = 1_024
const DEVICE_COUNT_MAX = 64
const CHOICES = {
  format: ['gguf', 'onnx'],
  gpu: ['off', 'auto', 'cuda', 'vulkan', 'metal'],
  pooling: [undefined, 'mean', 'cls'],
  driver: [undefined, 'auto', 'native', 'lockstep'],
  kvType: [undefined, 'f16', 'q8_0'],
  flashAttention: [undefined, true, false],
} as const satisfies { readonly [field in keyof LoadRequest]?: readonly LoadRequest[field][] }

/** @throws FabricError CF_CONFIG_INVALID */
export function checkLoad(request: LoadRequest): void {
  const { format, tokenizer, contextTokens, slotCount, threads, memoryBytesMax, digest } = request
  const choices: readonly (readonly [string, readonly unknown[]])[] = Object.entries(CHOICES)
  const wrong =
    choices.find(([field, known]) => !known.includes(Reflect.get(request, field)))?.[0] ||
    (format === 'onnx' && !SHA256_HEX.test(tokenizer?.digest ?? '') && 'tokenizer') ||
    (!SHA256_HEX.test(digest) && 'digest') ||
    (!isWithin(contextTokens, CONTEXT_TOKENS_MIN, LIMITS.promptTokensMax + LIMITS.maxTokensMax) && 'contextTokens') ||
    (!isWithin(slotCount, 1, SLOT_COUNT_MAX) && 'slotCount') ||
    (!isWithin(threads, 1, THREAD_COUNT_MAX) && 'threads') ||
    (!isWithin(memoryBytesMax, 0, Number.MAX_SAFE_INTEGER) && 'memoryBytesMax') ||
    wrongOnDevice(request)
  if (wrong) throw new FabricError('CF_CONFIG_INVALID', { field: wrong })
}

/** @returns a field of what only some loads have */
function wrongOnDevice(request: LoadRequest): keyof LoadRequest | false {
  const { gpuLayers = 'auto', vramBytesMax = 0, tensorSplit = [], cachedSequences = 0, libraries } = request
  const { kvType = 'f16', flashAttention = true, kernels, driver } = request
  const areShares =
    tensorSplit.length <= DEVICE_COUNT_MAX && tensorSplit.every((share) => share >= 0 && share < Infinity)
  return (
    (libraries !== undefined && !isAbsolute(libraries) && 'libraries') ||
    // node-llama-cpp chooses them itself.
    (kernels !== undefined && (!KERNELS.test(kernels) || driver === 'lockstep') && 'kernels') ||
    (gpuLayers !== 'auto' && !isWithin(gpuLayers, 0, LAYERS_MAX) && 'gpuLayers') ||
    (!isWithin(vramBytesMax, 0, Number.MAX_SAFE_INTEGER) && 'vramBytesMax') ||
    (!areShares && 'tensorSplit') ||
    // llama.cpp has no other way to read values of 8 bits.
    (kvType !== 'f16' && !flashAttention && 'kvType') ||
    (!isWithin(cachedSequences, 0, SLOT_COUNT_MAX) && 'cachedSequences')
  )
}

/**
 * Models either generate or embed.
 *
 * @throws FabricError CF_MODEL_UNSUPPORTED
 */
export function checkOperation(
  operation: 'render' | 'detokenize' | 'generate' | 'audit' | 'embed',
  model: LoadedModel,
): void {
  if ((operation === 'embed') !== model.dimensions > 0) throw new FabricError('CF_MODEL_UNSUPPORTED', { operation })
}

/** @throws FabricError CF_MODEL_UNSUPPORTED, CF_JOB_INVALID, CF_JOB_CONTEXT_EXCEEDED */
export function checkGenerate(request: GenerateRequest, model: LoadedModel): void {
  checkOperation('generate', model)
  checkSampling(request.sampling, request.seed)
  checkForm(request)
  checkBias(request.sampling, model)
  checkStop(request.stop)
  if (!isWithin(request.topLogprobs ?? 0, 0, LIMITS.topLogprobsCountMax)) refuse('topLogprobs')
  if (!isWithin(request.maxTokens, 1, LIMITS.maxTokensMax)) refuse('maxTokens')
  checkIds(request.promptIds, model, 'promptIds')
  checkPrefix(request, model)
  checkRoom(request.promptIds.length + request.maxTokens, model)
}

/** @throws FabricError CF_JOB_INVALID, CF_JOB_CONTEXT_EXCEEDED, CF_MODEL_UNSUPPORTED when the sampling cannot be replayed */
export function checkAudit(request: AuditRequest, model: LoadedModel): void {
  checkOperation('audit', model)
  if (request.sampling.kind !== 'gumbel-v1')
    throw new FabricError('CF_MODEL_UNSUPPORTED', { sampling: request.sampling.kind })
  checkSampling(request.sampling, request.seed)
  checkIds(request.promptIds, model, 'promptIds')
  checkIds(request.outputIds, model, 'outputIds')
  checkRoom(request.promptIds.length + request.outputIds.length, model)
  const { chunks } = request
  const sum = chunks.reduce((total, chunk) => total + chunk, 0)
  if (!chunks.every((chunk) => isWithin(chunk, 1, PROMPT_CHUNK_TOKENS)) || sum !== request.promptIds.length)
    refuse('chunks')
}

/** @throws FabricError CF_MODEL_UNSUPPORTED, CF_JOB_INVALID, CF_JOB_CONTEXT_EXCEEDED */
export function checkDetokenize({ promptIds, outputIds }: DetokenizeRequest, model: LoadedModel): void {
  checkOperation('detokenize', model)
  checkIds(promptIds, model, 'promptIds')
  checkIds(outputIds, model, 'outputIds')
  checkRoom(promptIds.length + outputIds.length, model)
}

/**
 * What needs no tokens to be refused: the host counts those.
 *
 * @throws FabricError CF_MODEL_UNSUPPORTED, CF_JOB_INVALID
 */
export function checkEmbed(texts: readonly string[], model: LoadedModel): void {
  checkOperation('embed', model)
  if (!isWithin(texts.length, 1, LIMITS.embeddingTextCountMax)) refuse('texts')
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0)
  if (bytes > LIMITS.payloadBytesMax) refuse('texts')
}

function checkStop(stop: readonly string[]): void {
  const areFine = stop.every((text) => isWithin(Buffer.byteLength(text), 1, LIMITS.stopBytesMax))
  if (!areFine || stop.length > LIMITS.stopCountMax) refuse('stop')
}

/** Something must be left to say. */
function checkPrefix({ prefixIds, maxTokens }: GenerateRequest, { vocabSize, stopIds }: LoadedModel): void {
  if (prefixIds === undefined) return
  const areFine = prefixIds.every((id) => id < vocabSize && !stopIds.includes(id))
  if (!areFine || prefixIds.length >= maxTokens) refuse('prefixIds')
}

/** An auditor knows neither grammar nor biases, and must not meet what was computed for another's prompt. */
function checkForm({ sampling, grammar = '', cacheKey = '' }: GenerateRequest): void {
  const isPlain = sampling.kind === 'gumbel-v1'
  if (Buffer.byteLength(grammar) > LIMITS.grammarBytesMax || (isPlain && grammar !== '')) refuse('grammar')
  if (Buffer.byteLength(cacheKey) > CACHE_KEY_BYTES_MAX || (isPlain && cacheKey !== '')) refuse('cacheKey')
}

function checkBias(sampling: SamplingSpec, { vocabSize }: LoadedModel): void {
  const { logitBias = [] } = sampling.kind === 'llama' ? sampling : {}
  const max = LIMITS.logitBiasMilliMax / 1000
  const areFine = logitBias.every(([id, bias]) => isWithin(id, 0, vocabSize - 1) && Math.abs(bias) <= max)
  if (!areFine || logitBias.length > LIMITS.logitBiasCountMax) refuse('logitBias')
}

function checkSampling(sampling: SamplingSpec, seed: Uint8Array): void {
  if (sampling.kind === 'gumbel-v1') {
    if (!isWithin(sampling.temperatureMilli, 0, LIMITS.temperatureMilliMax)) refuse('temperatureMilli')
    if (!isWithin(sampling.topK, 1, LIMITS.topKMax)) refuse('topK')
    if (seed.length !== SEED_BYTES) refuse('seed')
    return
  }
  if (!(sampling.temperature >= 0 && sampling.temperature <= LIMITS.temperatureMilliMax / 1000)) refuse('temperature')
  if (!isWithin(sampling.topK, 0, U32_MAX)) refuse('topK')
  if (!(sampling.topP >= 0 && sampling.topP <= 1)) refuse('topP')
  if (!(sampling.minP >= 0 && sampling.minP <= 1)) refuse('minP')
  if (!(Math.abs(sampling.frequencyPenalty) <= PENALTY_MAX)) refuse('frequencyPenalty')
  if (!(Math.abs(sampling.presencePenalty) <= PENALTY_MAX)) refuse('presencePenalty')
  if (!isWithin(sampling.seed, 0, U32_MAX)) refuse('seed')
}

function checkIds(ids: Uint32Array, model: LoadedModel, field: string): void {
  if (ids.length === 0 || !ids.every((id) => id < model.vocabSize)) refuse(field)
}

/** The context never shifts: what was computed over dropped tokens could not be replayed. */
function checkRoom(tokens: number, model: LoadedModel): void {
  if (tokens > model.contextTokens)
    throw new FabricError('CF_JOB_CONTEXT_EXCEEDED', { tokens, contextTokens: model.contextTokens })
}

function isWithin(value: number, min: number, max: number): boolean {
  return Number.isSafeInteger(value) && value >= min && value <= max
}

function refuse(field: string): never {
  throw new FabricError('CF_JOB_INVALID', { field })
}
