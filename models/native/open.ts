/** Loads a model into the native engine: file, memory and libraries are checked first. */
import { FabricError } from '../../core/errors.ts'
import type { LoadedModel, LoadRequest } from '../backend.ts'
import type { ModelFile } from '../model-file.ts'
import { attempt, checkHeader, type ModelHeader } from '../model-header.ts'
import { createPrompter, promptFactsOf } from '../prompt.ts'
import { PROMPT_CHUNK_TOKENS } from '../schedule.ts'
import { createTokenBound } from '../token-bound.ts'
import type { EngineAddon, LibraryPaths, NativeContextSpec, NativeModel } from './addon.ts'
import type { NativeParts } from './hosted.ts'
import { layersOnDevice } from './layers.ts'
import { engineIdOf, type Library } from './libraries.ts'
import type { Found } from './probe.ts'

/** Libraries that were found, compared with the table, and opened by way of trial. */
export type ReadyLibraries = {
  readonly addon: EngineAddon
  readonly paths: LibraryPaths
  readonly libraries: readonly Library[]
  readonly found: Found
}

/** The daemon's own line is shorter: what it lets through is never refused here. */
const WAITING_MAX = 4_096

/** A model in the engine, before it is known what it does. */
export type LoadedNative = ReadyLibraries & {
  readonly file: ModelFile
  readonly header: ModelHeader
  readonly model: NativeModel
  readonly isOnDevice: boolean
}

/** @throws FabricError CF_MODEL_OUT_OF_MEMORY, CF_MODEL_LOAD_FAILED */
export async function loadNative(request: LoadRequest, ready: ReadyLibraries, file: ModelFile): Promise<LoadedNative> {
  const header = await checkHeader(request, file.bytes)
  const { addon } = ready
  await attempt('engine_refused', async () => addon.open(ready.paths))
  const { gpu, freeVramBytes } = ready.found
  const gpuLayers =
    gpu === 'off' ? 0 : layersOnDevice(request, header.info, file.bytes, header.contextTokens, freeVramBytes)
  const tensorSplit = Float32Array.from(request.tensorSplit ?? [])
  const model = await loading(() => addon.loadModel({ path: request.path, gpuLayers, tensorSplit, vocabOnly: false }))
  return { ...ready, file, header, model, isOnDevice: gpuLayers > 0 }
}

/**
 * @param verified  what a restart need not find out again
 * @throws          FabricError CF_MODEL_LOAD_FAILED
 */
export async function openNative(request: LoadRequest, native: LoadedNative, verified: string): Promise<NativeParts> {
  const { addon, header, model } = native
  const prompter = await attempt('template_invalid', async () => createPrompter(promptFactsOf(header.info)))
  const loaded: LoadedModel = {
    digest: request.digest,
    engineId: engineIdOf(native.libraries, native.found.version, request),
    vocabSize: model.vocabSize,
    contextTokens: header.contextTokens,
    slotCount: request.slotCount,
    templateDigest: prompter.templateDigest,
    toolFormat: prompter.toolFormat,
    ...(prompter.thinkFormat === undefined ? {} : { thinkFormat: prompter.thinkFormat }),
    driver: { kind: 'native', reason: '' },
    stopIds: [...model.stopIds],
    dimensions: 0,
  }
  const spec = contextOf(request, native, PROMPT_CHUNK_TOKENS)
  return {
    ...{ loaded, verified, model, prompter, checkLength: createTokenBound(header.info, header.contextTokens) },
    createEngine: (onStep) => loading(() => addon.createEngine(model, spec, onStep)),
  }
}

/** The engine rejects with a reason that needs no words of its own. */
export async function loading<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof Error) || error instanceof TypeError) throw error
    const isMemory = error.message === 'out_of_memory'
    const detail = { reason: 'engine_refused', cause: error.message }
    throw new FabricError(isMemory ? 'CF_MODEL_OUT_OF_MEMORY' : 'CF_MODEL_LOAD_FAILED', detail, error)
  }
}

/** What lock-step asks node-llama-cpp for: other settings give other logits. */
export function contextOf(
  request: LoadRequest,
  { header, isOnDevice }: LoadedNative,
  prefillTokensMax: number,
): NativeContextSpec {
  return {
    contextTokens: header.contextTokens,
    slotCount: request.slotCount,
    threads: request.threads,
    prefillTokensMax,
    kvType: request.kvType ?? 'f16',
    flashAttention: request.flashAttention ?? true,
    offloadKv: isOnDevice,
    waitingMax: WAITING_MAX,
    cachedSequences: request.cachedSequences ?? 0,
  }
}
