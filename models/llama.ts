/** A model in llama.cpp through node-llama-cpp's prebuilt libraries: loading, tokens and text, forward passes. */
import type { LlamaContextSequence, LlamaModel, Token } from 'node-llama-cpp'
import { FabricError } from '../core/errors.ts'
import { invariant } from '../core/invariant.ts'
import type { LoadedModel, LoadRequest } from './backend.ts'
import type { StepEngine } from './lockstep.ts'
import { batchTokens, estimateBytes, GARBAGE_BYTES_MAX, shapeOf } from './memory.ts'
import { verifyModelFile } from './model-file.ts'
import { createPrompter, type Prompter } from './prompt.ts'
import type { Candidates, Step } from './run.ts'
import type { Detokenize } from './text-stream.ts'

type Library = typeof import('node-llama-cpp')
type Llama = LlamaModel['llama']
/** Calls to the engine leave garbage outside of the JavaScript heap, where the collector does not see that it piles up. */
type Sweep = (candidateLists: number) => void
type StepInput = Parameters<LlamaContextSequence['controlledEvaluate']>[0][number]

/** Candidates of one position: more than any job's topK, so that an audit sees past the edge. */
const CANDIDATES = 64
/** Best first: the first that a processor has decides which kernels run, and so the last bits of a logit. */
const INSTRUCTION_SETS = [
  'AMX_INT8',
  'AVX512_BF16',
  'AVX512_VNNI',
  'AVX512',
  'AVX_VNNI',
  'AVX2',
  'AVX',
  'SSE3',
  'SVE',
  'MATMUL_INT8',
  'DOTPROD',
  'NEON',
]

const CANDIDATE_BYTES = 12

export interface LlamaEngine extends StepEngine {
  readonly model: LoadedModel
  /** The file's stamp; see verifyModelFile. */
  readonly verified: string
  readonly render: Prompter['render']
  readonly tokenize: (text: string, parseSpecial: boolean) => Uint32Array
  readonly detokenize: Detokenize
}

/**
 * Loads a model: checks the file, then the memory, then starts the engine.
 *
 * @param verified  stamp of an earlier check of the same file, or ''
 * @throws          FabricError CF_MODEL_DIGEST_MISMATCH, CF_MODEL_OUT_OF_MEMORY, CF_MODEL_LOAD_FAILED
 */
export async function openLlama(request: LoadRequest, verified: string): Promise<LlamaEngine> {
  const file = await verifyModelFile(request.path, request.digest, verified)
  const library = await import('node-llama-cpp')
  const contextTokens = await checkHeader(library, request, file.bytes)
  const llama = await attempt('device_absent', () => startEngine(library, request))
  const { model, sequences } = await attempt('engine_refused', () => openModel(llama, request, contextTokens))
  const prompter = await attempt('template_invalid', async () => createPrompter(library, model))
  const sweep = createSweep([...model.iterateAllTokens()].length)
  const loaded: LoadedModel = {
    digest: request.digest,
    engineId: await engineId(library, llama),
    vocabSize: [...model.iterateAllTokens()].length,
    contextTokens,
    slotCount: request.slotCount,
    templateDigest: prompter.templateDigest,
    stopIds: [...model.iterateAllTokens()].filter((id) => model.isEogToken(id)),
    dimensions: 0,
  }
  return {
    model: loaded,
    verified: file.stamp,
    slotCount: request.slotCount,
    render: prompter.render,
    tokenize: (text, parseSpecial) => tokenize(model, text, parseSpecial),
    detokenize: (ids, before) => model.detokenize(ids.map(tokenOf), false, before.map(tokenOf)),
    evaluate: (slot, step) => evaluate(sequenceOf(sequences, slot), step, sweep),
    clear: (slot) => sequenceOf(sequences, slot).clearHistory(),
  }
}

async function attempt<T>(reason: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof FabricError) throw error
    const isMemory = error instanceof Error && error.constructor.name === 'InsufficientMemoryError'
    throw new FabricError(isMemory ? 'CF_MODEL_OUT_OF_MEMORY' : 'CF_MODEL_LOAD_FAILED', { reason }, error)
  }
}

/** @returns the context in tokens: what was asked for, at most what the model was trained with */
async function checkHeader(library: Library, request: LoadRequest, fileBytes: number): Promise<number> {
  const options = { sourceType: 'filesystem', logWarnings: false, spliceSplitFiles: false } as const
  const info = await attempt('header_invalid', () => library.readGgufFileInfo(request.path, options))
  const trained = info.architectureMetadata?.context_length
  if (trained === undefined) throw new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'header_invalid' })
  const contextTokens = Math.min(request.contextTokens, trained)
  const bytes = estimateBytes(shapeOf(info), fileBytes, { ...request, contextTokens })
  const { memoryBytesMax } = request
  if (bytes > memoryBytesMax) throw new FabricError('CF_MODEL_OUT_OF_MEMORY', { bytes, memoryBytesMax })
  return contextTokens
}

/** Never compiles and never downloads; a device that was named and is absent is refused. */
async function startEngine(library: Library, { gpu, threads }: LoadRequest): Promise<Llama> {
  const llama = await library.getLlama({
    gpu: gpu === 'off' ? false : gpu,
    build: 'never',
    skipDownload: true,
    progressLogs: false,
    maxThreads: threads,
    logLevel: library.LlamaLogLevel.error,
    logger: (_level, message) => process.stderr.write(message),
  })
  const found = llama.gpu === false ? 'off' : llama.gpu
  // The library answers with the processor where a device cannot exist on this system.
  if (gpu !== 'auto' && gpu !== found) throw new FabricError('CF_MODEL_LOAD_FAILED', { reason: 'device_absent', gpu })
  return llama
}

async function openModel(llama: Llama, request: LoadRequest, contextTokens: number) {
  const model = await llama.loadModel({ modelPath: request.path, gpuLayers: request.gpu === 'off' ? 0 : 'auto' })
  const context = await model.createContext({
    sequences: request.slotCount,
    contextSize: contextTokens,
    batchSize: batchTokens(request.slotCount),
    threads: request.threads,
    // Other settings give other logits: every node uses the same.
    flashAttention: true,
    experimentalKvCacheKeyType: 'F16',
    experimentalKvCacheValueType: 'F16',
    failedCreationRemedy: false,
  })
  const sequences = Array.from({ length: request.slotCount }, () => context.getSequence())
  return { model, sequences }
}

/** Engine, version and processor kind: what decides the last bits of a logit. */
async function engineId(library: Library, llama: Llama): Promise<string> {
  const flags = new Set(llama.systemInfo.split('|').map((flag) => flag.replace(/^.*:/, '').trim()))
  const kernels = INSTRUCTION_SETS.find((name) => flags.has(`${name} = 1`)) ?? 'generic'
  const device = llama.gpu === false ? `cpu/${kernels.toLowerCase()}` : `${llama.gpu}`
  const version = await library.getModuleVersion()
  return `llama.cpp/${llama.llamaCppRelease.release} node-llama-cpp/${version} ${device} ${process.platform}-${process.arch}`.slice(
    0,
    96,
  )
}

/** A rendered template gets the start token that the model was trained with, unless the template wrote it. */
function tokenize(model: LlamaModel, text: string, parseSpecial: boolean): Uint32Array {
  const ids = model.tokenize(text, parseSpecial)
  const { bos, shouldPrependBosToken } = model.tokens
  const isMissing = parseSpecial && shouldPrependBosToken && bos !== null && ids[0] !== bos
  return Uint32Array.from(isMissing ? [bos, ...ids] : ids)
}

async function evaluate(sequence: LlamaContextSequence, step: Step, sweep: Sweep): Promise<readonly Candidates[]> {
  const last = step.ids.length - 1
  const input: StepInput[] = step.ids.map((id, index) =>
    step.ask === 'all' || (step.ask === 'last' && index === last) ? question(id) : tokenOf(id),
  )
  const results = await sequence.controlledEvaluate(input)
  const found = results.flatMap((result) => (result === undefined ? [] : [candidatesOf(result.next)]))
  sweep(found.length)
  return found
}

/**
 * Collects garbage once enough has piled up, while the next step computes.
 *
 * Why: the binding makes a sampler for each call, with room for the whole vocabulary that only its finaliser frees, and only a full
 * collection runs that. Without this a host grew to six times its size; with a vocabulary of 150,000 every token leaves 1.8 MB.
 */
function createSweep(vocabSize: number): Sweep {
  let garbageBytes = 0
  return (candidateLists) => {
    garbageBytes += candidateLists * vocabSize * CANDIDATE_BYTES
    if (garbageBytes < GARBAGE_BYTES_MAX) return
    garbageBytes = 0
    setTimeout(() => globalThis.gc?.(), 1)
  }
}

/** Why temperature 1 and top-k 64 alone: logits stay unscaled, and only 64 of the vocabulary are sorted and copied. */
function question(id: number): StepInput {
  const logits = { filter: { tokens: [], includeTop: CANDIDATES } }
  const options = { temperature: 1, topK: CANDIDATES, topP: 1, minP: 0, seed: 1 }
  return [tokenOf(id), { generateNext: { logits, options } }]
}

function candidatesOf({ logits = new Map() }: { readonly logits?: ReadonlyMap<Token, number> }): Candidates {
  return { ids: [...logits.keys()], logits: [...logits.values()] }
}

function sequenceOf(sequences: readonly LlamaContextSequence[], slot: number): LlamaContextSequence {
  const sequence = sequences[slot]
  invariant(sequence !== undefined, 'a slot has its sequence')
  return sequence
}

/** Brands an id that was checked against the vocabulary. */
function tokenOf(id: number): Token {
  return id as Token
}
