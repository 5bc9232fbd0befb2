/** What every backend refuses before it computes anything: a token id out of range would abort the engine's process. */
import { FabricError } from '../core/errors.ts'
import { LIMITS } from '../core/limits.ts'
import type { AuditRequest, GenerateRequest, LoadedModel, LoadRequest, SamplingSpec } from './backend.ts'
import { CHUNK_TOKENS_MAX } from './schedule.ts'

const SHA256_HEX = /^[0-9a-f]{64}$/
const SEED_BYTES = 32
const CONTEXT_TOKENS_MIN = 64
const U32_MAX = 2 ** 32 - 1

export const SLOT_COUNT_MAX = 64
export const THREAD_COUNT_MAX = 256

/** @throws FabricError CF_CONFIG_INVALID */
export function checkLoad(request: LoadRequest): void {
  const { contextTokens, slotCount, threads, memoryBytesMax, digest } = request
  const wrong =
    (!SHA256_HEX.test(digest) && 'digest') ||
    (!isWithin(contextTokens, CONTEXT_TOKENS_MIN, LIMITS.promptTokensMax + LIMITS.maxTokensMax) && 'contextTokens') ||
    (!isWithin(slotCount, 1, SLOT_COUNT_MAX) && 'slotCount') ||
    (!isWithin(threads, 1, THREAD_COUNT_MAX) && 'threads') ||
    (!isWithin(memoryBytesMax, 0, Number.MAX_SAFE_INTEGER) && 'memoryBytesMax')
  if (wrong) throw new FabricError('CF_CONFIG_INVALID', { field: wrong })
}

/** @throws FabricError CF_JOB_INVALID, CF_JOB_CONTEXT_EXCEEDED */
export function checkGenerate(request: GenerateRequest, model: LoadedModel): void {
  checkSampling(request.sampling, request.seed)
  if (!isWithin(request.maxTokens, 1, LIMITS.maxTokensMax)) refuse('maxTokens')
  checkIds(request.promptIds, model, 'promptIds')
  checkRoom(request.promptIds.length + request.maxTokens, model)
}

/** @throws FabricError CF_JOB_INVALID, CF_JOB_CONTEXT_EXCEEDED, CF_MODEL_UNSUPPORTED when the sampling cannot be replayed */
export function checkAudit(request: AuditRequest, model: LoadedModel): void {
  if (request.sampling.kind !== 'gumbel-v1')
    throw new FabricError('CF_MODEL_UNSUPPORTED', { sampling: request.sampling.kind })
  checkSampling(request.sampling, request.seed)
  checkIds(request.promptIds, model, 'promptIds')
  checkIds(request.outputIds, model, 'outputIds')
  checkRoom(request.promptIds.length + request.outputIds.length, model)
  const { chunks } = request
  const sum = chunks.reduce((total, chunk) => total + chunk, 0)
  if (!chunks.every((chunk) => isWithin(chunk, 1, CHUNK_TOKENS_MAX)) || sum !== request.promptIds.length)
    refuse('chunks')
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
