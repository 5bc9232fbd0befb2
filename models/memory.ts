/** What a model will take in memory, estimated from its file's header: refusing early beats a process killed by the system. */
import type { GgufFileInfo } from 'node-llama-cpp'
import type { LoadRequest } from './backend.ts'

const F16_BYTES = 2
const F32_BYTES = 4
/** llama.cpp allocates cells in blocks of this many. */
const CONTEXT_PADDING = 256
/** The runtime, the engine's libraries and small buffers: about 110 MiB were measured. */
const PROCESS_BYTES = 160 * 1_048_576
/** What the engine may leave behind before it is collected. */
export const GARBAGE_BYTES_MAX = 96 * 1_048_576

/** Tokens in one batch: a prompt chunk beside one token of every other sequence. */
export function batchTokens(slotCount: number): number {
  return 64 + slotCount
}

/** What a model takes in memory besides its file. */
export type ModelShape = {
  /** Keys and values (f16) of one token in all layers, bytes. */
  readonly keyValueBytes: number
  /** Activations of one token of a batch, bytes. */
  readonly activationBytes: number
}

/**
 * Sums file, key-value cache (f16), activations and process.
 *
 * @param fileBytes  size of the model file; it is mapped, and every page of it is read for every token
 */
export function estimateBytes(
  shape: ModelShape,
  fileBytes: number,
  { contextTokens, slotCount }: Pick<LoadRequest, 'contextTokens' | 'slotCount'>,
): number {
  const cells = Math.ceil(contextTokens / CONTEXT_PADDING) * CONTEXT_PADDING * slotCount
  return Math.ceil(
    fileBytes + cells * shape.keyValueBytes + batchTokens(slotCount) * shape.activationBytes + PROCESS_BYTES,
  )
}

/** Reads the shape from a file's header. */
export function shapeOf(info: GgufFileInfo): ModelShape {
  const {
    block_count: layers = 0,
    embedding_length: width = 0,
    feed_forward_length: inner,
    attention,
  } = info.architectureMetadata
  const heads = attention?.head_count ?? 1
  const keyed = attention?.head_count_kv ?? heads
  const headsOfLayers = Array.isArray(keyed) ? keyed.reduce((sum, count) => sum + count, 0) : keyed * layers
  const headWidth = width / heads
  const vocabulary = info.metadata.tokenizer?.ggml?.tokens.length ?? 0
  return {
    keyValueBytes:
      headsOfLayers * ((attention?.key_length ?? headWidth) + (attention?.value_length ?? headWidth)) * F16_BYTES,
    activationBytes: F32_BYTES * (vocabulary + 4 * (inner ?? 0) + 8 * width),
  }
}
