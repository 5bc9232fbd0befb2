/** A GGUF encoder through node-llama-cpp: one text after the other. */
import type { LlamaModel, Token } from 'node-llama-cpp'
import type { LoadRequest } from './backend.ts'
import { ONE_AT_A_TIME } from './embed-batcher.ts'
import type { EmbedEngine } from './embed-hosted.ts'
import { encoderModel } from './gguf-encoder.ts'
import type { StartedLlama } from './llama.ts'
import { attempt } from './model-header.ts'
import { createTokenBound } from './token-bound.ts'

/** The library's name of a kind of vocabulary; the package itself is large, and loaded where it is used. */
const WORD_PIECE = 'wpm'

/** @throws FabricError CF_MODEL_OUT_OF_MEMORY, CF_MODEL_LOAD_FAILED */
export async function openLlamaEncoder(
  request: LoadRequest,
  { llama, file, header, engineId }: StartedLlama,
  dimensions: number,
  reason: string,
): Promise<EmbedEngine> {
  const { info, contextTokens } = header
  const gpuLayers = request.gpu === 'off' ? 0 : (request.gpuLayers ?? 'auto')
  const model = await attempt('engine_refused', () =>
    llama.loadModel({
      modelPath: request.path,
      gpuLayers,
      defaultContextFlashAttention: request.flashAttention ?? true,
    }),
  )
  // One token more than a text may have: the library refuses a text that fills its context.
  const size = { contextSize: contextTokens + 1, batchSize: contextTokens + 1, threads: request.threads }
  const context = await attempt('engine_refused', () => model.createEmbeddingContext(size))
  const checkLength = createTokenBound(info, contextTokens)
  const run: EmbedEngine['run'] = async (texts) => {
    const vectors: Float32Array[] = []
    for (const ids of texts) {
      const { vector } = await context.getEmbeddingFor([...ids].map(tokenOf))
      const norm = Math.hypot(...vector)
      vectors.push(Float32Array.from(vector, (value) => value / norm))
    }
    return vectors
  }
  const vocabSize = [...model.iterateAllTokens()].length
  return {
    model: encoderModel(request, {
      contextTokens,
      dimensions,
      vocabSize,
      engineId,
      driver: { kind: 'lockstep', reason },
    }),
    verified: file.stamp,
    batching: ONE_AT_A_TIME,
    read: (text) => {
      checkLength(text)
      return Uint32Array.from(framed(model, model.tokenize(text)))
    },
    run,
  }
}

/** As llama.cpp frames a text whose special tokens it is asked to add. */
function framed({ tokens, vocabularyType }: LlamaModel, ids: readonly Token[]): readonly Token[] {
  const isWordPiece = String(vocabularyType) === WORD_PIECE
  const first = isWordPiece || tokens.shouldPrependBosToken ? tokens.bos : null
  const last = isWordPiece ? tokens.sep : tokens.shouldAppendEosToken ? tokens.eos : null
  return [first, ids, last].flatMap((part) => part ?? [])
}

/** Brands an id that came from the model. */
function tokenOf(id: number): Token {
  return id as Token
}
