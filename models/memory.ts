/** What a model will take in memory, estimated from its file's header: refusing early beats a process killed by the system. */
import type { GgufFileInfo } from 'node-llama-cpp'
import type { LoadRequest } from './backend.ts'
import { ggufEncoderOf } from './gguf-encoder.ts'
import { PROMPT_CHUNK_TOKENS } from './schedule.ts'

const F16_BYTES = 2
const F32_BYTES = 4
/** llama.cpp allocates cells in blocks of this many. */
const CONTEXT_PADDING = 256
/** The runtime, the engine's libraries and small buffers: about 110 MiB were measured. */
const PROCESS_BYTES = 160 * 1_048_576
/** What the engine may leave behind before it is collected. */
export const GARBAGE_BYTES_MAX = 96 * 1_048_576

/** What a model takes in memory besides its file. */
export type ModelShape = {
  /** Keys and values (f16) of one token in all layers, bytes. */
  readonly keyValueBytes: number
  /** Activations of one token of a batch, bytes. */
  readonly activationBytes: number
  /** It reads one text at a time, all of it in one batch. */
  readonly isEncoder: boolean
}

export type ContextSize = Pick<LoadRequest, 'contextTokens' | 'slotCount'>

/**
 * Sums file, key-value cache (f16), activations and process.
 *
 * @param fileBytes  size of the model file; it is mapped, and every page of it is read for every token
 */
export function estimateBytes(shape: ModelShape, fileBytes: number, { contextTokens, slotCount }: ContextSize): number {
  const { keyValueBytes, activationBytes, isEncoder } = shape
  const cells = Math.ceil(contextTokens / CONTEXT_PADDING) * CONTEXT_PADDING
  const textBytes = cells * (keyValueBytes + activationBytes)
  const chatBytes = cells * slotCount * keyValueBytes + PROMPT_CHUNK_TOKENS * activationBytes
  return Math.ceil(fileBytes + (isEncoder ? textBytes : chatBytes) + PROCESS_BYTES)
}

/** Reads the shape from a file's header. */
export function shapeOf(info: GgufFileInfo): ModelShape {
  const {
    block_count: layers = 0,
    embedding_length: width = 0,
    feed_forward_length: inner,
    attention,
  } = info.architectureMetadata
  // A list where layers differ; 0 where there is no attention.
  const heads = Math.max(...[attention?.head_count ?? 1].flat())
  const keyed = attention?.head_count_kv ?? heads
  const headsOfLayers = Array.isArray(keyed) ? keyed.reduce((sum, count) => sum + count, 0) : keyed * layers
  const headWidth = heads > 0 ? width / heads : 0
  const vocabulary = tokensOf(info).length
  return {
    keyValueBytes:
      headsOfLayers * ((attention?.key_length ?? headWidth) + (attention?.value_length ?? headWidth)) * F16_BYTES,
    activationBytes: F32_BYTES * (vocabulary + 4 * (inner ?? 0) + 8 * width),
    isEncoder: ggufEncoderOf(info) !== undefined,
  }
}

/** The vocabulary as it is written in the file; none where that is damaged. */
export function tokensOf({ metadata }: GgufFileInfo): readonly unknown[] {
  const tokens: unknown = metadata.tokenizer?.ggml?.tokens
  return Array.isArray(tokens) ? tokens : []
}

/** Weights that are stored in 8 bits are held in 32, and the engine keeps a second copy in the order that it computes in. */
const ENCODER_WEIGHTS_FACTOR = 8
/** The runtime, the engine's library and the activations of the largest batch. */
const ENCODER_PROCESS_BYTES = 224 * 1_048_576

/** What an ONNX encoder takes in memory. */
export function encoderBytes(fileBytes: number): number {
  return fileBytes * ENCODER_WEIGHTS_FACTOR + ENCODER_PROCESS_BYTES
}
