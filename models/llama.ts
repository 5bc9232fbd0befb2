/** A model in llama.cpp through node-llama-cpp's prebuilt libraries: loading, tokens and text, forward passes. */
import type { LlamaContextSequence, LlamaModel, Token, TokenBias } from 'node-llama-cpp'
import { FabricError } from '../core/errors.ts'
import { invariant } from '../core/invariant.ts'
import type { LoadedModel, LoadRequest } from './backend.ts'
import type { StepEngine } from './lockstep.ts'
import { GARBAGE_BYTES_MAX } from './memory.ts'
import { type ModelFile, verifyModelFile } from './model-file.ts'
import { attempt, checkHeader, type ModelHeader } from './model-header.ts'
import { engineIdOf, openedFiles, readLibraries } from './native/libraries.ts'
import { createPieces, detokenizeFrom, type Piece } from './pieces.ts'
import { createPrompter, type Prompter, promptFactsOf } from './prompt.ts'
import type { Candidates, LogitBias, Step } from './run.ts'
import { PROMPT_CHUNK_TOKENS } from './schedule.ts'
import type { Detokenize } from './text-stream.ts'
import { createTokenBound } from './token-bound.ts'

type Library = typeof import('node-llama-cpp')
type Llama = LlamaModel['llama']
/** Calls to the engine leave garbage outside of the JavaScript heap, where the collector does not see that it piles up. */
type Sweep = (candidateLists: number) => void
/** An input token with the wish for what may come after it. */
type Ask = (id: number, step: Step) => StepInput
type StepInput = Parameters<LlamaContextSequence['controlledEvaluate']>[0][number]

/** Candidates of one position: more than any job's topK, so that an audit sees past the edge. */
const CANDIDATES = 64
const CANDIDATE_BYTES = 12

export interface LlamaEngine extends StepEngine {
  readonly model: LoadedModel
  /** The file's stamp; see verifyModelFile. */
  readonly verified: string
  readonly render: Prompter['render']
  readonly tokenize: (text: string, parseSpecial: boolean) => Uint32Array
  readonly detokenize: Detokenize
  /** Absent: the vocabulary is of a kind whose bytes are not known. */
  readonly piece?: Piece
}

/** A file that may be loaded, and what would load it. */
export type StartedLlama = {
  readonly file: ModelFile
  readonly header: ModelHeader
  readonly llama: Llama
  readonly engineId: string
}

/**
 * Checks the file, then the memory, then starts the engine.
 *
 * @param verified  stamp of an earlier check of the same file, or ''
 * @throws          FabricError CF_MODEL_DIGEST_MISMATCH, CF_MODEL_OUT_OF_MEMORY, CF_MODEL_LOAD_FAILED
 */
export async function startLlama(request: LoadRequest, verified: string): Promise<StartedLlama> {
  const file = await verifyModelFile(request.path, request.digest, verified)
  const library = await import('node-llama-cpp')
  const header = await checkHeader(request, file.bytes)
  const llama = await attempt('device_absent', () => startEngine(library, request))
  const engineId = engineIdOf(await readLibraries(openedFiles()), llama.llamaCppRelease.release, request)
  return { file, header, llama, engineId }
}

/**
 * Loads a model that generates.
 *
 * @param reason  why this driver runs and not the native one
 * @throws        FabricError CF_MODEL_OUT_OF_MEMORY, CF_MODEL_LOAD_FAILED
 */
export async function openLlama(
  request: LoadRequest,
  { file, header, llama, engineId }: StartedLlama,
  reason: string,
): Promise<LlamaEngine> {
  const { info, contextTokens } = header
  const library = await import('node-llama-cpp')
  const { model, sequences } = await attempt('engine_refused', () => openModel(llama, request, contextTokens))
  const prompter = await attempt('template_invalid', async () => createPrompter(promptFactsOf(info)))
  const checkLength = createTokenBound(info, contextTokens)
  const vocabSize = [...model.iterateAllTokens()].length
  const sweep = createSweep(vocabSize)
  const piece = createPieces(info)
  const ask = createAsk(biasMaker(library, model), vocabSize)
  const loaded: LoadedModel = {
    digest: request.digest,
    engineId,
    vocabSize,
    contextTokens,
    slotCount: request.slotCount,
    templateDigest: prompter.templateDigest,
    toolFormat: prompter.toolFormat,
    ...(prompter.thinkFormat === undefined ? {} : { thinkFormat: prompter.thinkFormat }),
    driver: { kind: 'lockstep', reason },
    stopIds: [...model.iterateAllTokens()].filter((id) => model.isEogToken(id)),
    dimensions: 0,
  }
  return {
    model: loaded,
    verified: file.stamp,
    slotCount: request.slotCount,
    render: (messages, options) => prompter.render(messages, options),
    tokenize: (text, parseSpecial) => {
      checkLength(text)
      return tokenize(model, text, parseSpecial)
    },
    ...(piece === undefined ? {} : { piece }),
    detokenize:
      piece === undefined
        ? (ids, before, showControl) => model.detokenize(ids.map(tokenOf), showControl, before.map(tokenOf))
        : detokenizeFrom(piece),
    evaluate: (slot, step) => evaluate(sequenceOf(sequences, slot), step, ask, sweep),
    clear: (slot) => sequenceOf(sequences, slot).clearHistory(),
  }
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
  const gpuLayers = request.gpu === 'off' ? 0 : (request.gpuLayers ?? 'auto')
  const model = await llama.loadModel({ modelPath: request.path, gpuLayers })
  const kvType = request.kvType === 'q8_0' ? 'Q8_0' : 'F16'
  const context = await model.createContext({
    sequences: request.slotCount,
    contextSize: contextTokens,
    batchSize: PROMPT_CHUNK_TOKENS,
    threads: request.threads,
    // Other settings give other logits: the native driver asks for the same.
    flashAttention: request.flashAttention ?? true,
    experimentalKvCacheKeyType: kvType,
    experimentalKvCacheValueType: kvType,
    failedCreationRemedy: false,
  })
  const sequences = Array.from({ length: request.slotCount }, () => context.getSequence())
  return { model, sequences }
}

/** A rendered template gets the start token that the model was trained with, unless the template wrote it. */
function tokenize(model: LlamaModel, text: string, parseSpecial: boolean): Uint32Array {
  const ids = model.tokenize(text, parseSpecial)
  const { bos, shouldPrependBosToken } = model.tokens
  const isMissing = parseSpecial && shouldPrependBosToken && bos !== null && ids[0] !== bos
  return Uint32Array.from(isMissing ? [bos, ...ids] : ids)
}

async function evaluate(
  sequence: LlamaContextSequence,
  step: Step,
  ask: Ask,
  sweep: Sweep,
): Promise<readonly Candidates[]> {
  const { nextTokenIndex: end } = sequence
  if (step.isAgain === true) await sequence.eraseContextTokenRanges([{ start: end - 1, end }])
  const last = step.ids.length - 1
  const input: StepInput[] = step.ids.map((id, index) =>
    step.ask === 'all' || (step.ask === 'last' && index === last) ? ask(id, step) : tokenOf(id),
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
function createAsk(biasOf: (bias: LogitBias) => TokenBias, vocabSize: number): Ask {
  const made = new WeakMap<LogitBias, TokenBias>()
  return (id, { bias, isAgain = false }) => {
    const top = isAgain ? vocabSize : CANDIDATES
    const options = { temperature: 1, topK: top, topP: 1, minP: 0, seed: 1 }
    const logits = { filter: { tokens: [], includeTop: top } }
    if (bias === undefined) return [tokenOf(id), { generateNext: { logits, options } }]
    const tokenBias = made.get(bias) ?? biasOf(bias)
    made.set(bias, tokenBias)
    return [tokenOf(id), { generateNext: { logits, options: { ...options, tokenBias } } }]
  }
}

/** Into the library's own list: its setter leaves out the tokens that end an answer. */
function biasMaker({ TokenBias: Bias }: Library, model: LlamaModel): (bias: LogitBias) => TokenBias {
  return (bias) => {
    const made = Bias.for(model)
    const list: unknown = Reflect.get(made, '_biases')
    invariant(list instanceof Map, 'the library keeps its biases in a map')
    for (const [id, added] of bias) list.set(id, added)
    return made
  }
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
